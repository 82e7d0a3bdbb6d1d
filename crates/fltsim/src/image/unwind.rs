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
    if at >= first.prologue && is_epilogue(image, &function, &first, offset) {
        undo_epilogue(image, offset, context)?;
        return Some(Frame {
            image,
            function: Some((function, entry)),
            establisher,
            handler: None,
        });
    }
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
                // Epilogues are known by their code, whether they are described or not.
                _ => {}
            }
        }
        index += size;
    }
    Some(interrupted)
}

/// One instruction of an epilogue before its last one.
enum Undo {
    /// `add rsp, constant`
    Add(u64),
    /// `lea rsp, [register + constant]`
    Load(usize, u64),
    /// `pop register`
    Pop(usize),
}

/// The instruction at an offset, if it is one that epilogues begin with, and its length.
fn undo_at(image: &Image, at: u32) -> Option<(Undo, u32)> {
    let byte = |ahead: u32| image.read::<u8>(at.checked_add(ahead)?);
    let near = |ahead: u32| {
        let value = image.read::<u8>(at.checked_add(ahead)?)?.cast_signed();
        Some(i64::from(value).cast_unsigned())
    };
    let far = |ahead: u32| {
        let value = image.read::<[u8; 4]>(at.checked_add(ahead)?)?;
        Some(i64::from(i32::from_le_bytes(value)).cast_unsigned())
    };
    let pop = |extension: u8, opcode: u8| Undo::Pop(usize::from(extension | (opcode & 7)));
    match byte(0)? {
        opcode @ 0x58..=0x5F => Some((pop(0, opcode), 1)),
        0x41 => {
            let opcode = byte(1).filter(|opcode| opcode & 0xF8 == 0x58)?;
            Some((pop(8, opcode), 2))
        }
        rex @ (0x48 | 0x49) => match (byte(1)?, byte(2)?) {
            (0x83, 0xC4) if rex == 0x48 => Some((Undo::Add(near(3)?), 4)),
            (0x81, 0xC4) if rex == 0x48 => Some((Undo::Add(far(3)?), 7)),
            // A base that needs a further byte is none of a frame.
            (0x8D, operands) if operands & 0x38 == 0x20 && operands & 7 != 4 => {
                let base = usize::from((rex & 1) << 3 | (operands & 7));
                match operands >> 6 {
                    1 => Some((Undo::Load(base, near(3)?), 4)),
                    2 => Some((Undo::Load(base, far(3)?), 7)),
                    _ => None,
                }
            }
            _ => None,
        },
        _ => None,
    }
}

/// Whether what is left of a function, from an offset on, is an epilogue: the stack pointer goes
/// back, registers are popped, and then comes a return or a jump to another function.
fn is_epilogue(image: &Image, function: &Function, info: &Info, offset: u32) -> bool {
    let mut at = offset;
    while let Some((undo, length)) = undo_at(image, at) {
        let first = at == offset;
        match undo {
            Undo::Add(_) if first => {}
            Undo::Load(base, _) if first && base == info.frame_register && base != 0 => {}
            Undo::Pop(register) if register != RSP => {}
            _ => return false,
        }
        at += length;
    }
    let Some(code) = image.read::<[u8; 2]>(at) else {
        // A return may be the last byte of a section.
        return image.read::<u8>(at) == Some(0xC3);
    };
    match code {
        // ret; rep ret; jmp [rip + constant]
        [0xC3, _] | [0xF3, 0xC3] | [0xFF, 0x25] => true,
        [0xEB, near] => is_elsewhere(image, function, at + 2, near.cast_signed().into()),
        [0xE9, _] => image
            .read::<[u8; 4]>(at + 1)
            .is_some_and(|far| is_elsewhere(image, function, at + 5, i32::from_le_bytes(far))),
        // An indirect jump with a prefix that it does not need: so compilers mark a call that is
        // the last thing that a function does.
        [0x48..=0x4F, 0xFF] => image
            .read::<u8>(at + 2)
            .is_some_and(|operands| operands & 0x38 == 0x20),
        _ => false,
    }
}

/// Whether a jump leads to the beginning of a function or out of the image, and not to another part
/// of the same function.
fn is_elsewhere(image: &Image, function: &Function, from: u32, distance: i32) -> bool {
    let Some(target) = from.checked_add_signed(distance) else {
        return true;
    };
    if target == function.begin {
        return true;
    }
    if (function.begin..function.end).contains(&target) {
        return false;
    }
    let chained = |unwind| Info::read(image, unwind).is_some_and(|info| info.flags & CHAINED != 0);
    !chained(function.unwind)
        && image
            .function(target)
            .is_none_or(|(other, _)| !chained(other.unwind))
}

/// Does what is left of an epilogue.
fn undo_epilogue(image: &Image, offset: u32, context: &mut Context) -> Option<()> {
    let mut at = offset;
    while let Some((undo, length)) = undo_at(image, at) {
        match undo {
            Undo::Add(bytes) => move_stack(context, bytes),
            Undo::Load(base, bytes) => {
                context.registers[RSP] = context.registers[base].wrapping_add(bytes);
            }
            Undo::Pop(register) => {
                context.registers[register] = stack(context.rsp())?;
                move_stack(context, 8);
            }
        }
        at += length;
    }
    pop_return(context)
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
