//! fuse3-top shows what a running file system does that was built with the crate `fuse3`: how many requests of which operation come
//! and how long they take, what the workers do, and who holds the global lock and who waits for it.
//!
//! It reads the socket of `Builder::monitor`, or of the mount option `monitor=PATH`, once a second.

mod arguments;
mod model;
mod snapshot;
mod view;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::{DefaultTerminal, Terminal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use arguments::{Arguments, Asked};
use model::Model;
use snapshot::Snapshot;

/// How long a signal or a key may wait for the other one.
const PATIENCE: Duration = Duration::from_millis(100);

/// The size of what `--once` prints.
const PAGE: (u16, u16) = (100, 60);

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(Asked::Show(arguments)) => arguments,
        Ok(Asked::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(mistake) => {
            eprintln!("fuse3-top: {mistake}\n{}", arguments::USAGE);
            return ExitCode::from(2);
        }
    };
    match show(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fuse3-top: {error}");
            ExitCode::FAILURE
        }
    }
}

fn show(arguments: &Arguments) -> io::Result<()> {
    // One that is not there is said before the screen is taken.
    let mut model = Model::new(Snapshot::read(&arguments.socket)?);
    if arguments.once {
        thread::sleep(arguments.interval);
        model.update(Snapshot::read(&arguments.socket));
        println!("{}", page(&model)?);
        return Ok(());
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let what = "standard input or output is no terminal; use --once to print a screen";
        return Err(io::Error::other(what));
    }
    let signalled = Arc::new(AtomicUsize::new(0));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        let number = usize::try_from(signal).unwrap_or(0);
        signal_hook::flag::register_usize(signal, Arc::clone(&signalled), number)?;
    }
    // It restores the terminal when the program panics, too.
    let terminal = ratatui::try_init()?;
    let result = follow(terminal, model, arguments, &signalled);
    ratatui::restore();
    if let Ok(signal @ 1..) = i32::try_from(signalled.load(Ordering::SeqCst)) {
        signal_hook::low_level::emulate_default_handler(signal)?;
    }
    result
}

/// Shows the screen until it is left.
fn follow(
    mut terminal: DefaultTerminal,
    mut model: Model,
    arguments: &Arguments,
    signalled: &AtomicUsize,
) -> io::Result<()> {
    let mut due = Instant::now() + arguments.interval;
    loop {
        terminal.draw(|frame| view::draw(frame, &model))?;
        let wait = due.saturating_duration_since(Instant::now()).min(PATIENCE);
        if event::poll(wait)? {
            if let Event::Key(key) = event::read()? {
                if is_the_end(key) {
                    return Ok(());
                }
                if key.kind == KeyEventKind::Press {
                    match key.code {
                        KeyCode::Char('s') => model.sort_otherwise(),
                        KeyCode::Char('p') => model.paused = !model.paused,
                        _ => {}
                    }
                }
            }
        }
        if signalled.load(Ordering::SeqCst) != 0 {
            return Ok(());
        }
        if Instant::now() >= due {
            due = Instant::now() + arguments.interval;
            if !model.paused {
                model.update(Snapshot::read(&arguments.socket));
            }
        }
    }
}

fn is_the_end(key: KeyEvent) -> bool {
    let is_ctrl_c = key.code == KeyCode::Char('c') && key.modifiers == KeyModifiers::CONTROL;
    is_ctrl_c || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
}

/// A screen as text.
fn page(model: &Model) -> io::Result<String> {
    let mut terminal = Terminal::new(TestBackend::new(PAGE.0, PAGE.1))?;
    terminal.draw(|frame| view::draw_page(frame, model))?;
    Ok(view::text(terminal.backend().buffer()))
}
