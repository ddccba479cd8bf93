//! Ranges and places of files: `fallocate`, `copy_file_range`, `lseek`, `bmap`.

use fuse3::range::{FallocateMode, Offset, Whence};
use fuse3::{Concurrent, Errno, Operation};

use crate::every::{Case, end, recorded};
use crate::mistakes::mistake;
use crate::proto;

const FH: u64 = 0xdddd_0000_0000_000d;
const FROM: proto::Place = (62, FH, 0x1_0000_0001);
const TO: proto::Place = (0x9_0000_0009, 0xeeee_0000_0000_000e, 0x2_0000_0002);

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            Operation::Bmap,
            proto::bmap(60, 0x1_2345_6789, 4096),
            "bmap 60 0x123456789 of 4096",
            proto::number_out(0x1122_3344_5566_7788),
        ),
        Case::new(
            Operation::Fallocate,
            proto::fallocate(61, FH, 3, 0x1_0000_0001, 0x2_0000_0002),
            "fallocate 61 fh=0xdddd00000000000d 0x3 0x200000002@0x100000001",
            vec![],
        ),
        Case::new(
            Operation::CopyFileRange,
            proto::copy_file_range(FROM, TO, 0x7fff_f000, 0x12),
            "copy_file_range 62 fh=0xdddd00000000000d 0x100000001 to \
             38654705673 fh=0xeeee00000000000e 0x200000002 0x7ffff000 flags=0x12",
            proto::size_out(0x7fff_f000),
        ),
        Case::new(
            Operation::Lseek,
            proto::lseek(63, FH, 0x1_0000_0001, 3),
            "lseek 63 fh=0xdddd00000000000d 0x100000001 3",
            proto::number_out(0x1_2345_6789),
        ),
    ]
}

/// What Linux 6.18 asks first, for an answer of 64 bits. A libfuse that does not know it says so, and the kernel asks as ever.
#[test]
fn copies_with_64_bits() {
    let (fs, mut wire) = recorded::<Concurrent>();
    let request = proto::copy_file_range_64(FROM, TO, 0x7fff_f000, 0x12);
    let ordinary = proto::copy_file_range(FROM, TO, 0x7fff_f000, 0x12);
    let called = "copy_file_range 62 fh=0xdddd00000000000d 0x100000001 to \
        38654705673 fh=0xeeee00000000000e 0x200000002 0x7ffff000 flags=0x12";
    if fuse3::sys::library_version() < [3, 18, 0] {
        wire.expect_error(&request, Errno::ENOSYS);
        assert_eq!(fs.further_calls(), [""; 0]);
    } else {
        wire.expect(&request, &proto::number_out(0x7fff_f000));
        assert_eq!(fs.further_calls(), [called]);
    }
    wire.expect(&ordinary, &proto::size_out(0x7fff_f000));
    assert_eq!(fs.further_calls(), [called]);
    end(&fs, wire);
}

/// What has no name here comes through, and so does what is out of all bounds.
#[test]
fn unknown_flags_and_large_numbers() {
    let (fs, mut wire) = recorded::<Concurrent>();
    for (mode, shown) in [
        (0x4, "0x4"),
        (0x8000_0000, "0x80000000"),
        (u32::MAX, "0xffffffff"),
    ] {
        wire.expect(&proto::fallocate(61, 9, mode, u64::MAX, 1 << 63), &[]);
        let call = format!("fallocate 61 fh=0x9 {shown} 0x8000000000000000@0xffffffffffffffff");
        assert_eq!(fs.further_calls(), [call]);
    }
    for whence in [Whence::DATA, Whence::HOLE, Whence::from_raw(7)] {
        let number = u32::try_from(whence.raw()).unwrap();
        let reply = proto::number_out(0x1_2345_6789);
        wire.expect(&proto::lseek(63, 9, u64::MAX, number), &reply);
        let call = format!("lseek 63 fh=0x9 0xffffffffffffffff {number}");
        assert_eq!(fs.further_calls(), [call]);
    }
    let known = FallocateMode::KEEP_SIZE | FallocateMode::PUNCH_HOLE;
    assert_eq!(known.bits(), 3);
    end(&fs, wire);
}

#[test]
fn the_farthest_offset() {
    let (fs, mut wire) = recorded::<Concurrent>();
    for offset in [0, i64::MAX.unsigned_abs()] {
        fs.values().offset = Offset(offset);
        wire.expect(&proto::lseek(63, 9, 0, 4), &proto::number_out(offset));
        fs.further_calls();
    }
    end(&fs, wire);
    for offset in [1 << 63, u64::MAX] {
        mistake(
            &proto::lseek(63, 9, 0, 4),
            |to| to.offset = Offset(offset),
            &format!("lseek gave the offset {offset}"),
            &[],
        );
    }
}

/// The answer has 32 bits: no more is asked for. libfuse from 3.18.3 on asks for whole pages.
#[test]
fn copies_of_more_than_can_be_answered() {
    let (fs, mut wire) = recorded::<Concurrent>();
    let place = (1, 2, 3);
    for length in [0, 0xffff_ffff, 1 << 32, u64::MAX] {
        let most = if fuse3::sys::library_version() >= [3, 18, 3] {
            0xffff_f000
        } else {
            u32::MAX
        };
        let asked = u32::try_from(length).unwrap_or(u32::MAX).min(most);
        let request = proto::copy_file_range(place, place, length, 0);
        wire.expect(&request, &proto::size_out(asked));
        let call = format!("copy_file_range 1 fh=0x2 0x3 to 1 fh=0x2 0x3 {asked:#x} flags=0x0");
        assert_eq!(fs.further_calls(), [call]);
    }
    end(&fs, wire);
    mistake(
        &proto::copy_file_range(place, place, 100, 0),
        |to| to.more_copied = 1,
        "copy_file_range copied 101 bytes of 100",
        &[],
    );
}
