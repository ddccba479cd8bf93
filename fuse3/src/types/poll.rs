bitflags::bitflags! {
    /// `POLL*` of poll(2): what a caller waits for, and what an open file is ready for.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct PollEvents: u32 {
        /// A read does not block.
        const IN = libc::POLLIN as u32;
        /// There is something out of the order.
        const PRI = libc::POLLPRI as u32;
        /// A write does not block.
        const OUT = libc::POLLOUT as u32;
        /// Something is broken; reported whether it is waited for or not.
        const ERR = libc::POLLERR as u32;
        /// The other end is gone; reported whether it is waited for or not.
        const HUP = libc::POLLHUP as u32;
        /// As `IN`.
        const RDNORM = libc::POLLRDNORM as u32;
        /// As `PRI`.
        const RDBAND = libc::POLLRDBAND as u32;
        /// As `OUT`.
        const WRNORM = libc::POLLWRNORM as u32;
        /// Data of priority can be written.
        const WRBAND = libc::POLLWRBAND as u32;
        /// The other end writes no more.
        const RDHUP = libc::POLLRDHUP as u32;
        const _ = !0;
    }
}
