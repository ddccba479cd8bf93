//! What was measured, and what follows from it.

use std::time::Duration;

use crate::client::Work;
use crate::served::Usage;
use crate::{COMPARISONS, CONTESTANTS};

/// One server's share of one round, or the median of its rounds between two starts.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    /// Requests per second.
    rate: f64,
    /// The server's CPU time per request, in microseconds.
    cpu: f64,
    /// How often a thread of the server went to sleep, per request.
    switches: f64,
}

impl Sample {
    pub(crate) fn new(requests: usize, time: Duration, used: &Usage) -> Self {
        let requests = requests as f64;
        Self {
            rate: requests / time.as_secs_f64(),
            cpu: used.cpu.as_secs_f64() * 1e6 / requests,
            switches: used.switches as f64 / requests,
        }
    }
}

/// The value with so many quarters of the values below it.
fn quartile(values: impl Iterator<Item = f64>, quarters: usize) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[quarters * (values.len() - 1) / 4]
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    quartile(values, 2)
}

/// The median of the starts' ratios.
#[derive(Clone, Copy)]
struct Ratio {
    median: f64,
    /// Half the width of its 95 % confidence interval, about: 1.57 interquartile ranges by the root of their number.
    error: f64,
}

impl Ratio {
    fn of(ratios: impl Iterator<Item = f64> + Clone) -> Self {
        let range = quartile(ratios.clone(), 3) - quartile(ratios.clone(), 1);
        Self {
            median: median(ratios.clone()),
            error: 1.57 * range / (ratios.count() as f64).sqrt(),
        }
    }
}

/// One kind of work by so many clients, at each server.
pub(crate) struct Cell {
    pub(crate) work: Work,
    pub(crate) clients: usize,
    /// Of each contestant, one each round or start.
    pub(crate) samples: Vec<Vec<Sample>>,
}

impl Cell {
    pub(crate) fn new(work: Work, clients: usize) -> Self {
        Self {
            work,
            clients,
            samples: vec![Vec::new(); CONTESTANTS.len()],
        }
    }

    /// Adds what one start of the servers gave.
    pub(crate) fn add_median_of(&mut self, rounds: &Cell) {
        for (all, rounds) in self.samples.iter_mut().zip(&rounds.samples) {
            all.push(Sample {
                rate: median(rounds.iter().map(|sample| sample.rate)),
                cpu: median(rounds.iter().map(|sample| sample.cpu)),
                switches: median(rounds.iter().map(|sample| sample.switches)),
            });
        }
    }

    pub(crate) fn name(&self) -> String {
        let plural = if self.clients == 1 { "" } else { "s" };
        format!("{}, {} client{plural}", self.work.name(), self.clients)
    }

    /// Requests per second, and CPU per request upside down: in both, more is better.
    fn ratios(&self, who: usize, with: usize) -> (Ratio, Ratio) {
        let starts = self.samples[who].iter().zip(&self.samples[with]);
        (
            Ratio::of(starts.clone().map(|(who, with)| who.rate / with.rate)),
            Ratio::of(starts.map(|(who, with)| with.cpu / who.cpu)),
        )
    }

    /// The ratios that are too low.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for comparison in COMPARISONS.iter().filter(|c| c.clients <= self.clients) {
            let (rate, cpu) = self.ratios(comparison.who, comparison.with);
            let what = [
                ("requests per second", rate, comparison.least_rate),
                ("CPU per request", cpu, comparison.least_cpu),
            ];
            for (figure, ratio, least) in what {
                if ratio.median < least {
                    failures.push(format!(
                        "{}, {}, {figure}: {:.3} ±{:.3}, to be at least {least}",
                        self.name(),
                        comparison.name,
                        ratio.median,
                        ratio.error,
                    ));
                }
            }
        }
        failures
    }

    pub(crate) fn print(&self) {
        let mut heading = self.name();
        for (who, contestant) in CONTESTANTS.iter().enumerate() {
            let samples = &self.samples[who];
            print!(
                "{heading:<24} {:<28} {:>8.0} {:>8.2} {:>8.2}",
                contestant.name,
                median(samples.iter().map(|sample| sample.rate)),
                median(samples.iter().map(|sample| sample.cpu)),
                median(samples.iter().map(|sample| sample.switches)),
            );
            for comparison in COMPARISONS.iter().filter(|c| c.who == who) {
                let (rate, cpu) = self.ratios(who, comparison.with);
                print!(
                    "   {:.3} ±{:.3} {:.3} ±{:.3}",
                    rate.median, rate.error, cpu.median, cpu.error
                );
            }
            println!();
            heading.clear();
        }
    }
}

pub(crate) fn print_heading() {
    println!(
        "Medians of all starts. The ratios are requests per second of Rust to C, and CPU per request of C to Rust: more\n\
         than 1 is better than C. The last two are those to C that replies under its lock.\n"
    );
    println!(
        "{:<24} {:<28} {:>8} {:>8} {:>8}   {:<13}{:<13}",
        "", "", "req/s", "us CPU", "sleeps", "req/s ratio", "CPU ratio"
    );
}
