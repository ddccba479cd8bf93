//! The same small file system in C on libfuse and here, side by side: requests per second, server CPU per request.
//!
//! `scripts/bench` compiles server.c and runs this. All servers are mounted at once, and the one that is measured changes
//! every few milliseconds, so that whatever else the machine does meets all of them alike. What is compared is measured
//! in turn, round after round, and the median of the rounds' ratios counts.

mod client;
mod served;
mod server;
mod table;
mod wire;

use std::env;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use client::Work;
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

struct Bench {
    servers: Vec<Served>,
    rounds: usize,
    ops: usize,
}

/// What runs a server of `language`; the style and the mount point follow.
fn command(language: Language, c_server: &OsStr) -> Result<Vec<OsString>, Failure> {
    Ok(match language {
        Language::C => vec![c_server.to_owned()],
        Language::Rust => vec![env::current_exe()?.into_os_string(), "serve".into()],
    })
}

impl Bench {
    fn start(c_server: &OsStr) -> Result<Self, Failure> {
        let work_dir = env::temp_dir().join(format!("fuse3-bench.{}", std::process::id()));
        let mut servers = Vec::new();
        for (number, contestant) in CONTESTANTS.iter().enumerate() {
            let command = command(contestant.language, c_server)?;
            let mount_point = work_dir.join(number.to_string());
            servers.push(Served::start(&command, contestant.style, mount_point)?);
        }
        Ok(Self {
            servers,
            rounds: setting("FUSE3_BENCH_ROUNDS", 15)?,
            ops: setting("FUSE3_BENCH_OPS", 2000)?,
        })
    }

    /// Lets each server do the work once.
    fn round(&self, cell: &mut Cell, first: usize) -> Result<(), Failure> {
        for turn in 0..self.servers.len() {
            // Nobody always comes after the same one.
            let who = (first + turn) % self.servers.len();
            let server = &self.servers[who];
            let ops = (self.ops / cell.work.weight()).max(1);
            let before = server.usage()?;
            let time = client::run(server.mount_point(), cell.work, cell.clients, ops)?;
            let used = server.usage()?.since(&before);
            let requests = ops * cell.clients * cell.work.requests();
            cell.samples[who].push(Sample::new(requests, time, &used));
        }
        Ok(())
    }

    fn cell(&self, work: Work, clients: usize) -> Result<Cell, Failure> {
        let mut cell = Cell::new(work, clients, CONTESTANTS.len());
        self.round(&mut cell, 0)?; // to warm up
        cell.samples.iter_mut().for_each(Vec::clear);
        // What is not clear after the rounds asked for gets as many again, and all of them count.
        for _ in 0..3 {
            for round in 0..self.rounds {
                self.round(&mut cell, round)?;
            }
            if cell.failures(&COMPARISONS).is_empty() {
                break;
            }
        }
        Ok(cell)
    }
}

fn count_instructions(c_server: &OsStr) -> Result<(), Failure> {
    let mut servers = Vec::new();
    for contestant in &CONTESTANTS[..4] {
        let command = command(contestant.language, c_server)?;
        servers.push((contestant.name, command, contestant.style));
    }
    wire::compare(&servers)
}

fn compare(c_server: &OsStr) -> Result<bool, Failure> {
    let bench = Bench::start(c_server)?;
    table::print_heading(bench.rounds, bench.ops);
    let mut failures = Vec::new();
    for work in Work::ALL {
        for clients in CLIENTS {
            let cell = bench.cell(work, clients)?;
            cell.print(&CONTESTANTS, &COMPARISONS);
            failures.extend(cell.failures(&COMPARISONS));
        }
    }
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
        [c_server] => Ok(ExitCode::from(u8::from(!compare(c_server)?))),
        [instructions, c_server] if instructions == "instructions" => {
            count_instructions(c_server)?;
            Ok(ExitCode::SUCCESS)
        }
        _ => Err("usage: fs [instructions] C-SERVER, which scripts/bench compiles".into()),
    }
}
