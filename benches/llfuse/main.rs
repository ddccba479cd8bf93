//! The examples of llfuse and pyfuse3, and their ports here, side by side: operations per second, server CPU per operation.
//!
//! `scripts/compare-llfuse` installs the originals and runs this. What is compared is measured in turn, round after round, so that
//! whatever else the machine does meets all of them alike; the medians count. There is one client, on the same processor as the
//! server: they take turns, and where the scheduler puts them does not matter. Caches of the kernel are passed by: each operation is
//! at least one request.

#[path = "../fs/processors.rs"]
mod processors;
#[path = "../fs/served.rs"]
#[expect(dead_code, reason = "the other benchmark uses the rest")]
mod served;
mod source;
mod work;

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use processors::Processors;
use served::Served;
use source::Source;
use work::Work;

type Failure = Box<dyn Error>;

/// How often each program is measured.
const ROUNDS: usize = 31;

/// A program, and what it shows.
struct Contestant {
    name: &'static str,
    program: Program,
}

enum Program {
    /// One of the Python examples: its package, and the file.
    Python(&'static str, &'static str),
    /// One of the examples here, with these options.
    Own(&'static str, &'static [&'static str]),
}

/// What is compared: the first is the port, the others are divided by.
struct Comparison {
    name: &'static str,
    /// It shows a directory.
    mirror: bool,
    contestants: &'static [Contestant],
}

const COMPARISONS: [Comparison; 2] = [
    Comparison {
        name: "one file that can only be read",
        mirror: false,
        contestants: &[
            Contestant {
                name: "lltest",
                program: Program::Own("lltest", &[]),
            },
            Contestant {
                name: "hello_async",
                program: Program::Own("hello_async", &[]),
            },
            Contestant {
                name: "llfuse, lltest.py",
                program: Program::Python("llfuse", "lltest.py"),
            },
            Contestant {
                name: "pyfuse3, hello.py",
                program: Program::Python("pyfuse3", "hello.py"),
            },
        ],
    },
    Comparison {
        name: "a directory shown",
        mirror: true,
        contestants: &[
            Contestant {
                name: "passthroughfs",
                program: Program::Own("passthroughfs", &[]),
            },
            Contestant {
                name: "passthroughfs --single",
                program: Program::Own("passthroughfs", &["--single"]),
            },
            Contestant {
                name: "llfuse, passthroughfs.py",
                program: Program::Python("llfuse", "passthroughfs.py"),
            },
            Contestant {
                name: "pyfuse3, passthroughfs.py",
                program: Program::Python("pyfuse3", "passthroughfs.py"),
            },
        ],
    },
];

/// Where the originals are.
struct Originals {
    python: OsString,
    /// Has a folder for each package, with its examples.
    examples: PathBuf,
}

impl Contestant {
    fn command(&self, originals: &Originals) -> Result<Vec<OsString>, Failure> {
        match self.program {
            Program::Python(package, file) => {
                let file = originals.examples.join(package).join(file);
                Ok(vec![originals.python.clone(), file.into()])
            }
            Program::Own(example, options) => {
                let this = env::current_exe()?;
                let profile = this.ancestors().nth(2).ok_or("target/PROFILE/deps/NAME")?;
                let program = profile.join("examples").join(example);
                let options = options.iter().map(OsString::from);
                Ok([program.into()].into_iter().chain(options).collect())
            }
        }
    }
}

/// What one operation took.
#[derive(Clone, Copy)]
struct Sample {
    wall: f64,
    cpu: f64,
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// Measures one program once.
fn measure(served: &Served, work: Work, source: Option<&Source>) -> Result<Sample, Failure> {
    let mut prepared = work.prepare(served.mount_point(), source)?;
    let before = served.usage()?;
    let wall = prepared.run()?;
    // A release is handled after close(2) has returned.
    thread::sleep(Duration::from_millis(5));
    let cpu = served.usage()?.since(&before).cpu;
    let count = prepared.count() as f64;
    Ok(Sample {
        wall: wall.as_secs_f64() / count,
        cpu: cpu.as_secs_f64() / count,
    })
}

fn compare(comparison: &Comparison, originals: &Originals, folder: &Path) -> Result<(), Failure> {
    let source = match comparison.mirror {
        true => Some(Source::new(folder.join("source"))?),
        false => None,
    };
    let one = Processors::allowed()?.each().last();
    let one = one.ok_or("there is no processor")?;
    one.keep(0)?;
    let mut servers = Vec::new();
    for (number, contestant) in comparison.contestants.iter().enumerate() {
        let mut command = contestant.command(originals)?;
        command.extend(source.as_ref().map(|source| source.path().into()));
        let mount_point = folder.join(number.to_string());
        // Which both have.
        servers.push(Served::start_with(&command, "message", mount_point)?);
    }
    println!("\n{}\n", comparison.name);
    println!("| | program | per second | server CPU | rate, by factor | CPU, by factor |");
    println!("|---|---|---|---|---|---|");
    for work in Work::ALL {
        let mut samples = vec![Vec::new(); servers.len()];
        for round in 0..=ROUNDS {
            for (served, samples) in servers.iter().zip(&mut samples) {
                let sample = measure(served, work, source.as_ref())?;
                // The first round only warms up.
                if round > 0 {
                    samples.push(sample);
                }
            }
        }
        let medians: Vec<_> = samples
            .iter()
            .map(|samples| Sample {
                wall: median(samples.iter().map(|sample| sample.wall).collect()),
                cpu: median(samples.iter().map(|sample| sample.cpu).collect()),
            })
            .collect();
        for (contestant, sample) in comparison.contestants.iter().zip(&medians) {
            let port = medians[0];
            let (rate, cpu) = (sample.wall / port.wall, sample.cpu / port.cpu);
            println!(
                "| {} | {} | {:.0} | {:.1} µs | {rate:.1} | {cpu:.1} |",
                work.name(comparison.mirror),
                contestant.name,
                1.0 / sample.wall,
                sample.cpu * 1e6,
            );
        }
    }
    Ok(())
}

fn run() -> Result<(), Failure> {
    let mut arguments = env::args_os()
        .skip(1)
        .filter(|argument| argument != "--bench");
    let (Some(python), Some(examples)) = (arguments.next(), arguments.next()) else {
        println!("scripts/compare-llfuse runs this, with the originals");
        return Ok(());
    };
    let examples = PathBuf::from(examples);
    let originals = Originals { python, examples };
    let folder = env::temp_dir().join(format!("fuse3-compare.{}", std::process::id()));
    for (number, comparison) in COMPARISONS.iter().enumerate() {
        compare(comparison, &originals, &folder.join(number.to_string()))?;
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare-llfuse: {error}");
            ExitCode::FAILURE
        }
    }
}
