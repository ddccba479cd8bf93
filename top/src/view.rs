//! The screen.

use std::time::Duration;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};

use crate::model::Model;
use crate::snapshot::{Lock, Party, Request};

/// How many lines those who wait and those who work may take, each.
const MOST: usize = 8;

/// What takes longer is marked.
const LONG: Duration = Duration::from_secs(1);

pub(crate) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let area = frame.area();
    draw_in(frame, model, area, Some(footer(model)));
}

/// For paper: without the line of keys.
pub(crate) fn draw_page(frame: &mut Frame<'_>, model: &Model) {
    let area = frame.area();
    let trouble = model.trouble.as_ref().map(|_| footer(model));
    draw_in(frame, model, area, trouble);
}

fn draw_in(frame: &mut Frame<'_>, model: &Model, area: Rect, footer: Option<Line<'_>>) {
    let lock = model.now.lock.as_ref();
    let mut requests: Vec<_> = model.now.requests.iter().collect();
    requests.sort_by_key(|request| std::cmp::Reverse(request.time));
    let operation_lines = 2 + model.now.operations.len();
    let lock_lines = lock.map_or(0, |lock| 3 + lock.waiters.len().min(MOST));
    let request_lines = if requests.is_empty() {
        0
    } else {
        2 + requests.len().min(MOST)
    };
    let height = |lines: usize| Constraint::Length(u16::try_from(lines).unwrap_or(u16::MAX));
    let [top, operations, locks, served, _, bottom] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Max(u16::try_from(operation_lines).unwrap_or(u16::MAX)),
        height(lock_lines),
        height(request_lines),
        Constraint::Fill(1),
        height(usize::from(footer.is_some())),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(heading(model)), top);
    frame.render_widget(table(model), operations);
    if let Some(lock) = lock {
        frame.render_widget(Paragraph::new(lock_text(model, lock)), locks);
    }
    if !requests.is_empty() {
        frame.render_widget(requests_table(&requests), served);
    }
    if let Some(footer) = footer {
        frame.render_widget(Paragraph::new(footer), bottom);
    }
}

fn heading(model: &Model) -> Vec<Line<'_>> {
    let now = &model.now;
    let busy = now.requests.len();
    let first = Line::from(vec![
        Span::from(&*now.program).bold(),
        " on ".into(),
        Span::from(&*now.mount).bold(),
        format!("   pid {}   up {}", now.pid, clock(now.uptime)).into(),
    ]);
    let second = Line::from(vec![
        Span::from(rate(model.rate_of_all())).bold(),
        " requests/s   ".into(),
        format!("{} workers, {busy} busy", now.workers).into(),
        format!("   {} notifications queued", now.notifications).into(),
        format!("   {} answers not taken   ", now.not_taken).into(),
        match now.panics {
            0 => "0 panics".into(),
            panics => format!("{panics} panics").red().bold(),
        },
    ]);
    vec![first, second]
}

fn footer(model: &Model) -> Line<'_> {
    if let Some(trouble) = &model.trouble {
        let shown = format!(" {trouble}: this is the last that was seen ");
        return Line::from(shown).style(Style::new().white().on_red());
    }
    let paused = if model.paused { "   PAUSED" } else { "" };
    let keys = format!(
        "q quit   s sorted by {}   p pause{paused}",
        model.sort.name()
    );
    Line::from(keys).dim()
}

fn header<'c>(columns: &[&'c str]) -> Row<'c> {
    let style = Style::new().add_modifier(Modifier::REVERSED);
    let cell = |(index, name): (usize, &&'c str)| {
        let line = Line::from(*name);
        Cell::from(if index == 0 {
            line
        } else {
            line.right_aligned()
        })
    };
    Row::new(columns.iter().enumerate().map(cell)).style(style)
}

fn right(text: String) -> Cell<'static> {
    Cell::from(Line::from(text).right_aligned())
}

fn table(model: &Model) -> Table<'_> {
    let rows = model.operations().into_iter().map(|operation| {
        let errors = right(operation.errors.to_string());
        let mut cells = vec![
            Cell::from(&*operation.name),
            right(rate(model.rate_of(&operation.name))),
            right(operation.count.to_string()),
            if operation.errors > 0 {
                errors.style(Color::Yellow)
            } else {
                errors
            },
        ];
        cells.extend(operation.times.map(|time| right(short(time))));
        Row::new(cells)
    });
    let widths = [
        Constraint::Length(16),
        Constraint::Length(10),
        Constraint::Length(12),
        Constraint::Length(8),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(9),
    ];
    let columns = [
        "operation",
        "rate/s",
        "count",
        "errors",
        "p50",
        "p99",
        "p99.9",
        "longest",
    ];
    Table::new(rows, widths).header(header(&columns))
}

fn lock_text<'m>(model: &Model, lock: &'m Lock) -> Vec<Line<'m>> {
    let state = match &lock.holder {
        None => vec![" free".green()],
        Some(holder) => {
            let style = match holder.time >= LONG {
                true => Style::new().red().bold(),
                false => Style::new().yellow(),
            };
            let held = format!(" held by {}", who(holder, "for"));
            vec![Span::from(held).style(style)]
        }
    };
    let mut first = vec!["global lock:".bold()];
    first.extend(state);
    let second = format!(
        "  taken {} times/s; {} waiting",
        rate(model.rate_of_lock()),
        lock.waiters.len()
    );
    let mut lines = vec![Line::from(first), Line::from(second)];
    let shown = if lock.waiters.len() > MOST {
        MOST - 1
    } else {
        MOST
    };
    let waiting = |waiter| Line::from(format!("  {}", who(waiter, "waits")));
    lines.extend(lock.waiters.iter().take(shown).map(waiting));
    if lock.waiters.len() > shown {
        let more = lock.waiters.len() - shown;
        lines.push(Line::from(format!("  and {more} more")).dim());
    }
    lines
}

fn who(party: &Party, verb: &str) -> String {
    let request = party.operation.as_deref().unwrap_or("no request");
    let mut text = format!(
        "thread {} ({request}) {verb} {}",
        party.thread,
        short(party.time)
    );
    if let Some(site) = &party.site {
        text += &format!(" at {site}");
    }
    text
}

fn requests_table<'m>(requests: &[&'m Request]) -> Table<'m> {
    let rows = requests.iter().take(MOST).map(|request| {
        let row = Row::new([
            Cell::from(&*request.operation),
            right(request.thread.to_string()),
            right(request.ino.to_string()),
            right(short(request.time)),
        ]);
        match request.time >= LONG {
            true => row.style(Color::Red),
            false => row,
        }
    });
    let widths = [
        Constraint::Length(16),
        Constraint::Length(10),
        Constraint::Length(21),
        Constraint::Length(9),
    ];
    let columns = ["under way", "thread", "inode", "for"];
    Table::new(rows, widths)
        .header(header(&columns))
        .block(Block::new())
}

/// With three digits and a unit.
fn short(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (number, unit) = match time.as_nanos() {
        0..1_000 => (seconds * 1e9, "ns"),
        1_000..1_000_000 => (seconds * 1e6, "µs"),
        1_000_000..1_000_000_000 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    let digits = match number {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    match unit {
        "ns" => format!("{number:.0}{unit}"),
        _ => format!("{number:.digits$}{unit}"),
    }
}

fn rate(rate: Option<f64>) -> String {
    match rate {
        None => "-".to_owned(),
        Some(rate) if rate >= 100.0 || rate == 0.0 => format!("{rate:.0}"),
        Some(rate) => format!("{rate:.1}"),
    }
}

/// Days, hours, minutes, seconds.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match days {
        0 => format!("{hours}:{minutes:02}:{seconds:02}"),
        days => format!("{days}d {hours}:{minutes:02}:{seconds:02}"),
    }
}

/// What is on a screen, without the spaces at the ends and the empty lines after the last.
pub(crate) fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width.max(1));
    let lines = buffer.content.chunks(width).map(|cells| {
        let line: String = cells.iter().map(|cell| cell.symbol()).collect();
        line.trim_end().to_owned()
    });
    let lines: Vec<_> = lines.collect();
    let mut text = String::new();
    for line in lines {
        // Two empty lines are one.
        if !(line.is_empty() && text.ends_with("\n\n")) {
            text += &line;
            text.push('\n');
        }
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use crate::snapshot::{EXAMPLE, Snapshot};

    fn model() -> Model {
        let mut model = Model::new(Snapshot::parse(EXAMPLE).unwrap());
        let later = EXAMPLE.replace("uptime 86.", "uptime 88.");
        let later = later.replace("read 11079", "read 11179");
        model.update(Snapshot::parse(&later).map_err(io::Error::other));
        model
    }

    fn screen(model: &Model, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model)).unwrap();
        text(terminal.backend().buffer())
    }

    #[test]
    fn the_screen() {
        let expected = "\
tmpfs on /mnt/my files   pid 4698   up 0:01:28
50.0 requests/s   4 workers, 2 busy   2 notifications queued   3 answers not taken   0 panics

operation            rate/s        count   errors       p50       p99     p99.9   longest
read                   50.0        11179        0    95.0µs    1.20ms    4.01ms    12.5ms
lookup                    0         9034       12    12.4µs     801µs     919µs    2.05ms

global lock: held by thread 4699 (no request) for 2.31s at src/my commit.rs:41:27
  taken 0 times/s; 2 waiting
  thread 4711 (lookup) waits 2.31s
  thread 4712 (getattr) waits 2.30s at src/fs.rs:7:9

under way            thread                 inode       for
lookup                 4711                     1     2.31s
getattr                4712                     7     2.30s

q quit   s sorted by rate   p pause";
        assert_eq!(screen(&model(), 120, 24), expected);
    }

    #[test]
    fn what_has_ended_is_said_below_what_was_seen_last() {
        let mut model = model();
        model.update(Err(io::ErrorKind::ConnectionRefused.into()));
        let shown = screen(&model, 120, 24);
        assert!(shown.contains("tmpfs on"), "{shown}");
        let last = shown.lines().last().unwrap();
        assert_eq!(
            last,
            " the session has ended: this is the last that was seen"
        );
    }

    #[test]
    fn many_who_wait_are_counted() {
        let mut model = model();
        let lock = model.now.lock.as_mut().unwrap();
        lock.waiters = vec![lock.waiters[0].clone(); 20];
        let shown = screen(&model, 120, 40);
        assert!(shown.contains("20 waiting"), "{shown}");
        assert!(shown.contains("  and 13 more"), "{shown}");
    }

    #[test]
    fn a_file_system_without_a_lock_that_does_nothing() {
        let mut model = model();
        model.now.lock = None;
        model.now.requests.clear();
        let shown = screen(&model, 80, 24);
        assert!(!shown.contains("lock:"), "{shown}");
        assert!(!shown.contains("under way"), "{shown}");
    }

    #[test]
    fn a_terminal_of_any_size_will_do() {
        for (width, height) in [(1, 1), (20, 5), (80, 3), (300, 100)] {
            screen(&model(), width, height);
        }
    }

    #[test]
    fn times_have_three_digits() {
        let shown = [0, 999, 1_000, 12_410, 801_000, 2_050_000, 12_500_000_000]
            .map(|nanos| short(Duration::from_nanos(nanos)));
        assert_eq!(
            shown,
            [
                "0ns", "999ns", "1.00µs", "12.4µs", "801µs", "2.05ms", "12.5s"
            ]
        );
        assert_eq!(clock(Duration::from_secs(90_061)), "1d 1:01:01");
    }
}
