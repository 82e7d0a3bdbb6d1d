//! Events that have handles: the structure that drivers wait for is inside.

use super::object::{Body, Counted};
use crate::io::DriverMemory;
use fltmgr_sys::*;
use std::ptr::null_mut;

/// A `KEVENT` of the kernel's.
pub(crate) struct EventBody(Box<DriverMemory<KEVENT>>);

/// An event with handles.
pub(crate) type Event = Counted<EventBody>;

impl EventBody {
    pub(crate) fn new(kind: EVENT_TYPE, signalled: bool) -> Self {
        let memory = Box::new(DriverMemory::new(KEVENT {
            Header: DISPATCHER_HEADER {
                Lock: kind,
                SignalState: LONG::from(signalled),
                WaitListHead: LIST_ENTRY {
                    Flink: null_mut(),
                    Blink: null_mut(),
                },
            },
        }));
        // SAFETY: a place inside the structure that was just made.
        let list = unsafe { &raw mut (*memory.pointer()).Header.WaitListHead };
        memory.modify(|event| {
            event.Header.WaitListHead = LIST_ENTRY {
                Flink: list,
                Blink: list,
            };
        });
        Self(memory)
    }

    pub(crate) fn pointer(&self) -> *mut KEVENT {
        self.0.pointer()
    }
}

impl Body for EventBody {
    const NAME: &'static str = "event";
    const HANDLE_NAME: &'static str = "event handle";
    const TYPE: &'static str = "ExEventObjectType";

    fn address(&self) -> usize {
        self.pointer() as usize
    }

    fn is_waitable(&self) -> bool {
        true
    }
}
