//! The INF: what `stampinf` does to it on Windows, as far as it has to be done.

use super::{Places, Sample, files};
use std::path::Path;

/// Writes the INF for x64 from the one in `inf`.
pub(super) fn stamp(places: &Places, sample: Sample, path: &Path) -> Result<(), String> {
    let source = places.root.join("inf").join(sample.name());
    let source = files::read(&source.with_extension("inx"))?;
    files::write(path, source.replace("$ARCH$", "amd64"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_inf_has_the_version_of_the_packages() {
        for source in [
            include_str!("../../../inf/blocks.inx"),
            include_str!("../../../inf/ctx.inx"),
        ] {
            let version = source
                .lines()
                .find_map(|line| line.strip_prefix("DriverVer"))
                .and_then(|line| line.split_once(','));
            let expected = format!("{}.0", env!("CARGO_PKG_VERSION"));
            assert_eq!(version.map(|(_, version)| version.trim()), Some(&*expected));
        }
    }
}
