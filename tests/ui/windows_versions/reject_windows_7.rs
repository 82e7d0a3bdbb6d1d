//! Windows versions: a filter that is to run before Windows 8 declares no section context.

use fltctx::{prelude::*, registration::Windows};

struct Scan;

impl Context for Scan {
    type Kind = kind::Section;
    type Pool = pool::NonPaged;
    const TAG: PoolTag = PoolTag::new(*b"Exam");
}

struct Own;

impl Minifilter for Own {
    const WINDOWS: Windows = Windows::Windows7;

    fn load(_driver: &DriverEntry) -> Result<Self, Status> {
        Ok(Self)
    }
}

contexts! { Own: Scan }

fn main() {}
