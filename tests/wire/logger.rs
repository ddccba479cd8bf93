//! What the library and libfuse log, by thread, so that tests that run at once can tell theirs.

use std::sync::{Mutex, Once};
use std::thread::{self, ThreadId};

static LINES: Mutex<Vec<(ThreadId, String)>> = Mutex::new(Vec::new());

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _metadata: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}: {}", record.level(), record.target(), record.args());
        LINES.lock().unwrap().push((thread::current().id(), line));
    }

    fn flush(&self) {}
}

/// Collects the log, and keeps panics that are part of a test off the terminal.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Logger).unwrap();
        log::set_max_level(log::LevelFilter::Info);
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let payload = panic.payload();
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or(payload.downcast_ref::<String>().map(String::as_str));
            if !text.is_some_and(|text| text == PANIC || text.starts_with("Context::defer")) {
                report(panic);
            }
        }));
    });
}

/// The panics of handlers in these tests.
pub(crate) const PANIC: &str = "a panic on purpose";

/// The lines that one of these threads logged, in their order.
pub(crate) fn lines_of(threads: &[ThreadId]) -> Vec<String> {
    let lines = LINES.lock().unwrap();
    lines
        .iter()
        .filter(|(thread, _)| threads.contains(thread))
        .map(|(_, line)| line.clone())
        .collect()
}

/// How many lines of all threads have this text in them.
pub(crate) fn count(text: &str) -> usize {
    let lines = LINES.lock().unwrap();
    lines.iter().filter(|(_, line)| line.contains(text)).count()
}
