//! Instances.

use super::{slots, view};
use crate::registration::Minifilter;

view! {
    /// An attachment of the filter to a volume. Holds instance contexts. Borrowed for the callback.
    /// DDI: `FLT_RELATED_OBJECTS`.
    Instance: Instance
}

slots!(Instance);

impl<F: Minifilter> Instance<'_, F> {
    /// A number that tells this instance from every other that is alive, for logs.
    #[must_use]
    pub fn id(self) -> usize {
        self.objects.Instance.addr()
    }
}
