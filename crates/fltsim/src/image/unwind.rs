//! Walking the frames of driver code by the function table of its image (`.pdata`, `.xdata`).

use super::context::{Context, RSP};
use super::tables::Function;
use super::{Image, find, thread};
use object::LittleEndian as LE;

/// `UNW_FLAG_EHANDLER`.
pub(crate) const EXCEPTION_HANDLER: u8 = 1;
/// `UNW_FLAG_UHANDLER`.
pub(crate) const TERMINATION_HANDLER: u8 = 2;
/// `UNW_FLAG_CHAININFO`.
const CHAINED: u8 = 4;
/// More links than any compiler makes.
const LONGEST_CHAIN: usize = 32;

/// What one step of a walk found.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) image: &'static Image,
    /// The entry of the function table, and where that lies; none for a leaf function.
    pub(crate) function: Option<(Function, usize)>,
    /// What the frame is known by.
    pub(crate) establisher: u64,
    /// The offset of the language's handler and the address of its data, if there is one.
    pub(crate) handler: Option<(u32, usize)>,
}

/// The head of an `UNWIND_INFO`.
#[derive(Clone, Copy)]
struct Info {
    flags: u8,
    prologue: u32,
    codes: u32,
    frame_register: usize,
    frame_offset: u64,
}

impl Info {
    fn read(image: &Image, at: u32) -> Option<Self> {
        let [head, prologue, codes, frame] = image.read::<[u8; 4]>(at)?;
        Some(Self {
            flags: head >> 3,
            prologue: prologue.into(),
            codes: codes.into(),
            frame_register: usize::from(frame & 0xF),
            frame_offset: u64::from(frame >> 4) * 16,
        })
    }

    /// Where the chained entry, or the handler, is.
    fn after_codes(&self, at: u32) -> u32 {
        at.saturating_add(4 + 2 * self.codes.next_multiple_of(2))
    }
}

/// Unwinds a context by one frame. `None` if it is in no image or if the stack or the tables are
/// damaged; the context is then not to be used any more.
pub(crate) fn step(context: &mut Context, wanted: u8) -> Option<Frame> {
    let pc = usize::try_from(context.rip).ok()?;
    let image = find(pc)?;
    let offset = image.offset(pc)?;
    let Some((function, entry)) = image.function(offset) else {
        // A leaf function has neither moved the stack pointer nor saved anything.
        let establisher = context.rsp();
        pop_return(context)?;
        return Some(Frame {
            image,
            function: None,
            establisher,
            handler: None,
        });
    };
    let first = Info::read(image, function.unwind)?;
    let at = offset - function.begin;
    let establisher = establisher(image, function.unwind, &first, at, context);
    let mut unwind = function.unwind;
    let mut info = first;
    let mut position = Some(at);
    let mut interrupted = false;
    for _ in 0..LONGEST_CHAIN {
        interrupted |= apply(image, unwind, &info, position, establisher, context)?;
        if info.flags & CHAINED == 0 {
            break;
        }
        unwind = image
            .read::<object::U32<LE>>(info.after_codes(unwind) + 8)?
            .get(LE);
        info = Info::read(image, unwind)?;
        // Of a function that this is a part of, all of the prologue has run.
        position = None;
    }
    if !interrupted {
        pop_return(context)?;
    }
    let in_prologue = at < first.prologue;
    let has_handler = info.flags & wanted != 0 && info.flags & CHAINED == 0 && !in_prologue;
    let handler = if has_handler {
        let place = info.after_codes(unwind);
        let handler = image.read::<object::U32<LE>>(place)?.get(LE);
        let data = image.base() + place as usize + 4;
        image.is_code(handler).then_some((handler, data))
    } else {
        None
    };
    Some(Frame {
        image,
        function: Some((function, entry)),
        establisher,
        handler,
    })
}

/// As [`step`], for those that ask from outside: what the frame is known by, and its handler with
/// the address of its data.
pub(crate) fn virtual_unwind(
    context: &mut Context,
    wanted: u8,
) -> Option<(u64, Option<(u64, u64)>)> {
    let frame = step(context, wanted)?;
    let handler = frame.handler.map(|(handler, data)| {
        let base = frame.image.base();
        ((base + handler as usize) as u64, data as u64)
    });
    Some((frame.establisher, handler))
}

/// The frame pointer if the function has set one up, or else the stack pointer.
fn establisher(image: &Image, unwind: u32, info: &Info, at: u32, context: &Context) -> u64 {
    if info.frame_register == 0 {
        return context.rsp();
    }
    let set = at >= info.prologue
        || info.flags & CHAINED != 0
        || (0..info.codes).any(|index| {
            let code = image.read::<[u8; 2]>(unwind + 4 + 2 * index);
            code.is_some_and(|[offset, code]| code & 0xF == 3 && u32::from(offset) <= at)
        });
    if set {
        context.registers[info.frame_register].wrapping_sub(info.frame_offset)
    } else {
        context.rsp()
    }
}

/// Undoes what the prologue has done so far. Gives whether a machine frame was found, which holds
/// the return address itself.
fn apply(
    image: &Image,
    unwind: u32,
    info: &Info,
    position: Option<u32>,
    base: u64,
    context: &mut Context,
) -> Option<bool> {
    let mut interrupted = false;
    let mut index = 0;
    while index < info.codes {
        let slot = |ahead: u32| {
            let place = unwind.checked_add(4 + 2 * (index + ahead))?;
            image
                .read::<object::U16<LE>>(place)
                .map(|slot| slot.get(LE))
        };
        let head = slot(0)?;
        let (offset, code) = (u32::from(head & 0xFF), head >> 8 & 0xF);
        let operand = usize::from(head >> 12);
        let done = position.is_none_or(|at| offset <= at);
        let scaled = |scale: u64| Some(u64::from(slot(1)?) * scale);
        let far = || Some(u64::from(slot(1)?) | u64::from(slot(2)?) << 16);
        let size = match code {
            0 | 2 | 3 | 10 => 1,
            1 if operand == 0 => 2,
            4 | 6 | 8 => 2,
            1 | 5 | 7 | 9 => 3,
            _ => return None,
        };
        if done {
            match code {
                0 => {
                    context.registers[operand] = stack(context.rsp())?;
                    move_stack(context, 8);
                }
                1 if operand == 0 => move_stack(context, scaled(8)?),
                1 => move_stack(context, far()?),
                2 => move_stack(context, operand as u64 * 8 + 8),
                3 => {
                    let frame = context.registers[info.frame_register];
                    context.registers[RSP] = frame.wrapping_sub(info.frame_offset);
                }
                4 => context.registers[operand] = stack(base.wrapping_add(scaled(8)?))?,
                5 => context.registers[operand] = stack(base.wrapping_add(far()?))?,
                8 => context.xmm[operand] = vector(base.wrapping_add(scaled(16)?))?,
                9 => context.xmm[operand] = vector(base.wrapping_add(far()?))?,
                10 => {
                    let frame = context.rsp() + if operand == 0 { 0 } else { 8 };
                    context.rip = stack(frame)?;
                    context.registers[RSP] = stack(frame + 24)?;
                    interrupted = true;
                }
                // Epilogues are described for nobody's benefit here: no fault is expected there.
                _ => {}
            }
        }
        index += size;
    }
    Some(interrupted)
}

fn move_stack(context: &mut Context, bytes: u64) {
    context.registers[RSP] = context.rsp().wrapping_add(bytes);
}

fn pop_return(context: &mut Context) -> Option<()> {
    context.rip = stack(context.rsp())?;
    move_stack(context, 8);
    Some(())
}

/// Reads a word of this thread's stack; `None` if the address is not on it.
pub(crate) fn stack(address: u64) -> Option<u64> {
    let (low, high) = thread::stack();
    let address = usize::try_from(address).ok()?;
    if address < low || address.checked_add(8)? > high {
        return None;
    }
    // SAFETY: the word lies on the stack of this thread, all of which may be read.
    Some(unsafe { std::ptr::read_unaligned(address as *const u64) })
}

fn vector(address: u64) -> Option<u128> {
    let low = stack(address)?;
    let high = stack(address.checked_add(8)?)?;
    Some(u128::from(high) << 64 | u128::from(low))
}
