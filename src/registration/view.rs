//! What the callbacks at `PASSIVE_LEVEL` have in common.

/// What every callback at `PASSIVE_LEVEL` offers: its objects, and the proof of its IRQL.
macro_rules! passive_view {
    ($name:ident) => {
        impl<F: crate::registration::Minifilter> $name<'_, F> {
            /// The filter.
            #[must_use]
            pub fn filter(&self) -> crate::object::Filter<'_, F> {
                // SAFETY: the objects are those of this callback, at PASSIVE_LEVEL, and the view
                // borrows `self`, which lives for the callback.
                unsafe { crate::object::Filter::new(self.objects) }
            }

            /// The volume; holds the volume context.
            #[must_use]
            pub fn volume(&self) -> crate::object::Volume<'_, F> {
                // SAFETY: as for `filter`.
                unsafe { crate::object::Volume::new(self.objects) }
            }

            /// The instance; holds the instance context.
            #[must_use]
            pub fn instance(&self) -> crate::object::Instance<'_, F> {
                // SAFETY: as for `filter`.
                unsafe { crate::object::Instance::new(self.objects) }
            }

            /// Proof that the IRQL is `PASSIVE_LEVEL`, so that paged memory may be touched too.
            #[must_use]
            pub fn irql(&self) -> &crate::irql::Passive {
                &self.irql
            }

            /// The same proof, to be lent to a [lock](crate::lock) that raises the IRQL.
            #[must_use]
            pub fn irql_mut(&mut self) -> &mut crate::irql::Passive {
                &mut self.irql
            }
        }
    };
}

pub(super) use passive_view;
