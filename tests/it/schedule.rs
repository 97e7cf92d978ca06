//! When jobs run: fires against another program's reading of cron lines, and the commands that go by the calendar.

mod dates;
mod next;
mod oracle;
