//! The same small file system in C on libfuse and here, side by side: requests per second, server CPU per request.
//!
//! `scripts/bench` compiles server.c and runs this. All servers are mounted at once, and the one that is measured changes
//! every few milliseconds, so that whatever else the machine does meets all of them alike. What is compared is measured
//! in turn, round after round. A start of the servers gives one ratio, and the median of those counts.

mod client;
mod processors;
mod served;
mod server;
mod table;
mod wire;

use std::env;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use client::Work;
use processors::Processors;
use served::Served;
use table::{Cell, Sample};

type Failure = Box<dyn Error>;

/// Below this share of what C does, the comparison fails.
const LEAST: f64 = 0.95;

/// Who serves: a name, the language, and the style that the server is told.
struct Contestant {
    name: &'static str,
    language: Language,
    style: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    C,
    Rust,
}

const CONTESTANTS: [Contestant; 5] = [
    Contestant {
        name: "C, concurrent",
        language: Language::C,
        style: "concurrent",
    },
    Contestant {
        name: "Rust, concurrent",
        language: Language::Rust,
        style: "concurrent",
    },
    Contestant {
        name: "C, locked",
        language: Language::C,
        style: "locked",
    },
    Contestant {
        name: "Rust, locked",
        language: Language::Rust,
        style: "locked",
    },
    Contestant {
        name: "C, locked, replies under it",
        language: Language::C,
        style: "locked-reply",
    },
];

/// Whom each contestant is compared with, and the least ratios of requests per second and of CPU per request.
struct Comparison {
    name: &'static str,
    who: usize,
    with: usize,
    least_rate: f64,
    least_cpu: f64,
    /// Only where so many clients or more are at work.
    clients: usize,
}

const COMPARISONS: [Comparison; 3] = [
    Comparison {
        name: "concurrent",
        who: 1,
        with: 0,
        least_rate: LEAST,
        least_cpu: LEAST,
        clients: 1,
    },
    Comparison {
        name: "locked",
        who: 3,
        with: 2,
        least_rate: LEAST,
        least_cpu: LEAST,
        clients: 1,
    },
    // A lock that is held while the kernel takes the reply: no file system should have it.
    Comparison {
        name: "locked, compared with C that replies under the lock",
        who: 3,
        with: 4,
        least_rate: 1.0,
        least_cpu: 0.0,
        clients: 4,
    },
];

const CLIENTS: [usize; 2] = [1, 4];

/// A number from the environment.
fn setting(name: &str, default: usize) -> Result<usize, Failure> {
    match env::var(name) {
        Ok(value) => match value.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("{name}={value} is not a number above 0").into()),
        },
        Err(_) => Ok(default),
    }
}

/// What runs a server of `language`; the style and the mount point follow.
fn command(language: Language, c_server: &OsStr) -> Result<Vec<OsString>, Failure> {
    Ok(match language {
        Language::C => vec![c_server.to_owned()],
        Language::Rust => vec![env::current_exe()?.into_os_string(), "serve".into()],
    })
}

fn count_instructions(c_server: &OsStr) -> Result<(), Failure> {
    let mut servers = Vec::new();
    for contestant in &CONTESTANTS[..4] {
        let command = command(contestant.language, c_server)?;
        servers.push((contestant.name, command, contestant.style));
    }
    wire::compare(&servers)
}

/// What the observers cost that the library has, those of `tracing` where the feature is on.
fn count_for_observers() -> Result<(), Failure> {
    let mut servers = Vec::new();
    let mut styles = vec![
        ("none", "concurrent"),
        ("idle", "concurrent:idle"),
        ("histograms", "concurrent:histograms"),
    ];
    if cfg!(feature = "tracing") {
        styles.push(("tracing, off", "concurrent:tracing-off"));
        styles.push(("tracing", "concurrent:tracing"));
    }
    styles.push(("locked", "locked"));
    styles.push(("locked, idle", "locked:idle"));
    for (name, style) in styles {
        servers.push((name, command(Language::Rust, OsStr::new(""))?, style));
    }
    wire::compare(&servers)
}

/// One process for each contestant, all of them mounted.
struct Servers(Vec<Served>);

impl Servers {
    fn start(c_server: &OsStr) -> Result<Self, Failure> {
        let work_dir = env::temp_dir().join(format!("fuse3-bench.{}", std::process::id()));
        let mut servers = Vec::new();
        for (number, contestant) in CONTESTANTS.iter().enumerate() {
            let command = command(contestant.language, c_server)?;
            let mount_point = work_dir.join(number.to_string());
            servers.push(Served::start(&command, contestant.style, mount_point)?);
        }
        Ok(Self(servers))
    }

    /// Lets each server do the work once.
    fn round(&self, cell: &mut Cell, first: usize, requests: usize) -> Result<(), Failure> {
        let each = (cell.work.count(requests) / cell.clients).max(1);
        let all = Processors::allowed()?;
        let processors = match all.each().next() {
            Some(one) if cell.clients == 1 => one,
            _ => all,
        };
        for turn in 0..self.0.len() {
            // Nobody always comes after the same one.
            let who = (first + turn) % self.0.len();
            let server = &self.0[who];
            server.keep_on(&processors)?;
            let before = server.usage()?;
            let mount_point = server.mount_point();
            let time = client::run(mount_point, cell.work, cell.clients, &processors, each)?;
            let used = server.usage()?.since(&before);
            let requests = each * cell.clients * cell.work.requests();
            cell.samples[who].push(Sample::new(requests, time, &used));
        }
        Ok(())
    }
}

/// How often the servers are started anew: where a process's memory happens to lie makes a difference of several
/// hundredths, from the first request to the last, between two processes of one program too.
const STARTS: usize = 7;
/// The same, for what is not clear by then. All of it counts.
const MOST_STARTS: usize = 21;

fn measure(c_server: &OsStr) -> Result<Vec<Cell>, Failure> {
    let rounds = setting("FUSE3_BENCH_ROUNDS", 10)?;
    let requests = setting("FUSE3_BENCH_REQUESTS", 2000)?;
    let each = |work| CLIENTS.map(|clients| Cell::new(work, clients));
    let mut cells: Vec<_> = Work::ALL.into_iter().flat_map(each).collect();
    if let Ok(part) = env::var("FUSE3_BENCH_ONLY") {
        cells.retain(|cell| cell.name().contains(&part));
    }
    for start in 0..MOST_STARTS {
        let unclear = |cell: &&mut Cell| start < STARTS || !cell.failures().is_empty();
        let unclear: Vec<_> = cells.iter_mut().filter(unclear).collect();
        if unclear.is_empty() {
            break;
        }
        let servers = Servers::start(c_server)?;
        // The ones before are still being taken down, and these have yet to start their workers.
        thread::sleep(Duration::from_millis(200));
        for cell in unclear {
            for round in 0..2 {
                servers.round(&mut Cell::new(cell.work, cell.clients), round, requests)?; // to warm up
            }
            let mut measured = Cell::new(cell.work, cell.clients);
            for round in 0..rounds {
                servers.round(&mut measured, start + round, requests)?;
            }
            cell.add_median_of(&measured);
        }
    }
    Ok(cells)
}

fn compare(c_server: &OsStr) -> Result<bool, Failure> {
    let cells = measure(c_server)?;
    table::print_heading();
    cells.iter().for_each(Cell::print);
    let failures: Vec<_> = cells.iter().flat_map(Cell::failures).collect();
    if failures.is_empty() {
        println!("every ratio is as it should be");
    } else {
        println!("TOO LOW:");
        failures.iter().for_each(|failure| println!("  {failure}"));
    }
    Ok(failures.is_empty())
}

fn main() -> Result<ExitCode, Failure> {
    // cargo adds --bench.
    let arguments: Vec<_> = env::args_os().skip(1).filter(|a| a != "--bench").collect();
    match &arguments[..] {
        [serve, style, mount_point] if serve == "serve" => {
            let style = style.to_str().ok_or("the style is no text")?;
            server::serve(style, mount_point)?;
            Ok(ExitCode::SUCCESS)
        }
        [observers] if observers == "observers" => {
            count_for_observers()?;
            Ok(ExitCode::SUCCESS)
        }
        [c_server] => Ok(ExitCode::from(u8::from(!compare(c_server)?))),
        [instructions, c_server] if instructions == "instructions" => {
            count_instructions(c_server)?;
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(
            "usage: fs [instructions] C-SERVER, which scripts/bench compiles; or fs observers"
                .into(),
        ),
    }
}
