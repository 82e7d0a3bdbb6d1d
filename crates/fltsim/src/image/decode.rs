//! The few instructions that mean something else in the kernel.

/// An access to `CR8`, which is the IRQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cr8 {
    pub(crate) write: bool,
    /// The general register on the other side.
    pub(crate) register: usize,
    pub(crate) length: u64,
}

/// Decodes `mov r64, cr8` and `mov cr8, r64`.
pub(crate) fn cr8(code: &[u8]) -> Option<Cr8> {
    let [rex, 0x0F, opcode @ (0x20 | 0x22), operands, ..] = *code else {
        return None;
    };
    // REX.R makes control register 8 of number 0. The mode bits are ignored by the processor.
    let is_cr8 = rex & 0xF4 == 0x44 && operands & 0x38 == 0;
    is_cr8.then(|| Cr8 {
        write: opcode == 0x22,
        register: usize::from(operands & 7) | usize::from(rex & 1) << 3,
        length: 4,
    })
}

/// The number of `rsi`.
const SOURCE: usize = 6;

/// How an instruction forms the address that it accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// From this register, which may be changed to change the address.
    Base(usize),
    /// From this register, which the instruction itself moves on, once or again and again.
    Moving(usize),
    /// It loads so many bytes into `rax` from the address that it holds itself.
    Absolute {
        /// Bytes that are loaded.
        size: usize,
        /// Of the whole instruction.
        length: u64,
    },
}

/// Decodes as much of an instruction as tells where its address comes from.
pub(crate) fn access(code: &[u8]) -> Option<Access> {
    let mut at = 0;
    let mut narrow = false;
    while let Some(0x66 | 0x67 | 0xF0 | 0xF2 | 0xF3 | 0x26 | 0x2E | 0x36 | 0x3E | 0x64 | 0x65) =
        code.get(at)
    {
        narrow |= code[at] == 0x66;
        at += 1;
    }
    let mut rex = 0;
    if let Some(prefix @ 0x40..=0x4F) = code.get(at) {
        rex = *prefix;
        at += 1;
    }
    match code.get(at)? {
        opcode @ (0xA0 | 0xA1) => {
            let size = match (opcode, rex & 8 != 0, narrow) {
                (0xA0, ..) => 1,
                (_, true, _) => 8,
                (_, false, true) => 2,
                (_, false, false) => 4,
            };
            let length = at as u64 + 9;
            return Some(Access::Absolute { size, length });
        }
        // movs and lods, which name no operands.
        0xA4 | 0xA5 | 0xAC | 0xAD => return Some(Access::Moving(SOURCE)),
        0x0F => {
            at += 1;
            // The two tables of three-byte instructions.
            if let 0x38 | 0x3A = code.get(at)? {
                at += 1;
            }
        }
        _ => {}
    }
    let operands = *code.get(at + 1)?;
    let (mode, low) = (operands >> 6, operands & 7);
    let extension = usize::from(rex & 1) << 3;
    match (mode, low) {
        (3, _) | (0, 5) => None,
        (_, 4) => {
            let base = *code.get(at + 2)? & 7;
            let none = mode == 0 && base == 5;
            (!none).then_some(Access::Base(usize::from(base) | extension))
        }
        _ => Some(Access::Base(usize::from(low) | extension)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_to_cr8() {
        // mov rax, cr8; mov cr8, rcx; mov r9, cr8; mov rax, cr0
        let read = cr8(&[0x44, 0x0F, 0x20, 0xC0]).unwrap();
        assert_eq!((read.write, read.register), (false, 0));
        let write = cr8(&[0x44, 0x0F, 0x22, 0xC1]).unwrap();
        assert_eq!((write.write, write.register), (true, 1));
        assert_eq!(cr8(&[0x45, 0x0F, 0x20, 0xC1]).unwrap().register, 9);
        assert_eq!(cr8(&[0x40, 0x0F, 0x20, 0xC0]), None);
        assert_eq!(cr8(&[0x44, 0x0F]), None);
    }

    #[test]
    fn addresses_of_loads() {
        // mov rax, [rax]; mov eax, [rcx + 0x26C]; movzx edx, byte ptr [r9 + 2]; cmp dword ptr [rsp], 0
        assert_eq!(access(&[0x48, 0x8B, 0x00]), Some(Access::Base(0)));
        assert_eq!(access(&[0x8B, 0x81, 0x6C, 2, 0, 0]), Some(Access::Base(1)));
        assert_eq!(access(&[0x41, 0x0F, 0xB6, 0x51, 2]), Some(Access::Base(9)));
        assert_eq!(access(&[0x83, 0x3C, 0x24, 0]), Some(Access::Base(4)));
        // movabs eax, [moffs]; movabs rax, [moffs]
        let long = Access::Absolute {
            size: 8,
            length: 10,
        };
        let short = Access::Absolute { size: 4, length: 9 };
        assert_eq!(access(&[0x48, 0xA1, 0, 0, 0, 0, 0, 0, 0, 0]), Some(long));
        assert_eq!(access(&[0xA1, 0, 0, 0, 0, 0, 0, 0, 0]), Some(short));
        // rep movsb; lods eax
        assert_eq!(access(&[0xF3, 0xA4, 0x90]), Some(Access::Moving(6)));
        assert_eq!(access(&[0xAD, 0xC3]), Some(Access::Moving(6)));
        // A register and a relative address.
        assert_eq!(access(&[0x8B, 0xC1]), None);
        assert_eq!(access(&[0x8B, 0x05, 0, 0, 0, 0]), None);
    }
}
