//! Results for people and for programs.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::Duration;

use rtmfp_service::tools::{
    Comparison, Difference, Ending, Figures, Measured, Measurement, Played, Published, Received,
};

/// A result that can be printed.
pub(crate) trait Show {
    /// One line of JSON.
    fn json(&self) -> Json;

    /// Some lines for people.
    fn text(&self) -> String;

    /// Prints it to standard output.
    ///
    /// # Errors
    /// When it could not be written.
    fn print(&self, json: bool) -> Result<(), String> {
        let text = if json { self.json().0 + "\n" } else { self.text() };
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // Who has closed it has seen enough.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(format!("cannot write the results: {error}"))
            }
            _ => Ok(()),
        }
    }
}

/// A value in JSON.
pub(crate) struct Json(pub(super) String);

impl Json {
    pub(super) fn object<'a>(members: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        let members = members.into_iter().map(|(name, value)| format!("{}:{}", Self::from(name).0, value.0));
        Self(format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
    }

    pub(super) fn array(items: impl Iterator<Item = Self>) -> Self {
        Self(format!("[{}]", items.map(|item| item.0).collect::<Vec<_>>().join(",")))
    }

    pub(super) fn number(value: impl std::fmt::Display) -> Self {
        Self(value.to_string())
    }

    fn option(value: Option<Self>) -> Self {
        value.unwrap_or_else(|| Self("null".to_owned()))
    }

    /// Milliseconds with three digits behind the point.
    pub(super) fn millis(duration: Duration) -> Self {
        Self(millis(duration))
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        let mut out = "\"".to_owned();
        for c in text.chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                c if c.is_control() => {
                    let _ = write!(out, "\\u{:04x}", u32::from(c));
                }
                c => out.push(c),
            }
        }
        out.push('"');
        Self(out)
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self(value.to_string())
    }
}

fn millis(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64() * 1000.0)
}

impl Show for Vec<Published> {
    fn json(&self) -> Json {
        let sum = |of: fn(&Published) -> u64| Json::number(self.iter().map(of).sum::<u64>());
        let start = starts(self);
        let errors = self.iter().filter_map(|stream| stream.error.as_deref()).map(Json::from);
        Json::object([
            ("streams", Json::number(self.len())),
            ("failed", Json::number(errors.clone().count())),
            ("audio", sum(|stream| stream.audio)),
            ("video", sum(|stream| stream.video)),
            ("bytes", sum(|stream| stream.bytes)),
            ("start_ms", figures(&start)),
            ("errors", Json::array(errors)),
        ])
    }

    fn text(&self) -> String {
        let sum = |of: fn(&Published) -> u64| self.iter().map(of).sum::<u64>();
        let start = starts(self);
        let failed = self.iter().filter(|stream| stream.error.is_some()).count();
        let mut out = format!(
            "{} streams published, {failed} failed\n{} audio and {} video messages, {} bytes\n",
            self.len() - failed,
            sum(|stream| stream.audio),
            sum(|stream| stream.video),
            sum(|stream| stream.bytes),
        );
        if start.count > 0 {
            let [median, last] = [start.median, start.max].map(millis);
            let _ = writeln!(out, "publishing began after {median} ms (median), {last} ms (last)");
        }
        out
    }
}

fn starts(streams: &[Published]) -> Figures {
    let mut starts: Vec<_> = streams.iter().filter_map(|stream| stream.started_after).collect();
    Figures::of(&mut starts)
}

impl Show for Played {
    fn json(&self) -> Json {
        let ending = match &self.ending {
            Ending::Stopped => "stopped",
            Ending::EndOfStream => "end of stream",
            Ending::Count => "count",
            Ending::Duration => "duration",
            Ending::Failed(_) => "failed",
        };
        Json::object([
            ("started_after_ms", Json::option(self.started_after.map(Json::millis))),
            ("first_after_ms", Json::option(self.first_after.map(Json::millis))),
            ("audio", received(&self.audio)),
            ("video", received(&self.video)),
            ("data", Json::number(self.data)),
            ("ending", ending.into()),
        ])
    }

    fn text(&self) -> String {
        let mut out = String::new();
        for (name, received) in [("audio", &self.audio), ("video", &self.video)] {
            let Received { count, bytes, longest_wait, first_timestamp, last_timestamp } = *received;
            let stamp = |stamp: Option<u32>| stamp.map_or_else(|| "-".to_owned(), |stamp| stamp.to_string());
            let _ = writeln!(
                out,
                "{name}: {count} messages, {bytes} bytes, timestamps {} to {} ms, longest wait {} ms",
                stamp(first_timestamp),
                stamp(last_timestamp),
                millis(longest_wait),
            );
        }
        let ending = match &self.ending {
            Ending::Stopped => "stopped",
            Ending::EndOfStream => "the stream ended",
            Ending::Count => "as many messages as wanted",
            Ending::Duration => "as long as wanted",
            Ending::Failed(_) => "failed",
        };
        let _ = writeln!(out, "end: {ending}");
        out
    }
}

fn received(received: &Received) -> Json {
    Json::object([
        ("count", Json::number(received.count)),
        ("bytes", Json::number(received.bytes)),
        ("first_timestamp", Json::option(received.first_timestamp.map(Json::number))),
        ("last_timestamp", Json::option(received.last_timestamp.map(Json::number))),
        ("longest_wait_ms", Json::millis(received.longest_wait)),
    ])
}

impl Show for Measurement {
    fn json(&self) -> Json {
        let measured = |measured: &Measured| {
            Json::object([("sent", Json::number(measured.sent)), ("took_ms", figures(&measured.figures))])
        };
        Json::object([
            ("audio", measured(&self.audio)),
            ("video", measured(&self.video)),
            ("sent", Json::number(self.audio.sent + self.video.sent)),
            ("took_ms", figures(&self.all)),
        ])
    }

    fn text(&self) -> String {
        let mut out = String::from("           sent  came back   median      95 %      99 %   longest\n");
        let all = Measured { sent: self.audio.sent + self.video.sent, figures: self.all };
        for (name, Measured { sent, figures }) in [("audio", self.audio), ("video", self.video), ("all", all)]
        {
            let Figures { count, median, p95, p99, max } = figures;
            let or_nothing = |duration| if count > 0 { millis(duration) } else { "-".to_owned() };
            let [median, p95, p99, max] = [median, p95, p99, max].map(or_nothing);
            let _ =
                writeln!(out, "{name:<6} {sent:>8}   {count:>8} {median:>8} {p95:>9} {p99:>9} {max:>9} ms");
        }
        out
    }
}

fn figures(figures: &Figures) -> Json {
    // What never happened took no time that could be told.
    let time = |time| Json::option((figures.count > 0).then(|| Json::millis(time)));
    Json::object([
        ("count", Json::number(figures.count)),
        ("median", time(figures.median)),
        ("p95", time(figures.p95)),
        ("p99", time(figures.p99)),
        ("max", time(figures.max)),
    ])
}

impl Show for Comparison {
    fn json(&self) -> Json {
        let difference = |difference: &Difference| {
            Json::object([
                ("sent", Json::number(difference.sent)),
                ("received", Json::number(difference.received)),
                ("missing", Json::number(difference.missing)),
                ("unexpected", Json::number(difference.unexpected)),
                ("shifted", Json::number(difference.shifted)),
            ])
        };
        Json::object([
            ("equal", self.is_equal().into()),
            ("audio", difference(&self.audio)),
            ("video", difference(&self.video)),
        ])
    }

    fn text(&self) -> String {
        let mut out = String::from("           sent  received   missing  unexpected  other timestamp\n");
        for (name, difference) in [("audio", &self.audio), ("video", &self.video)] {
            let Difference { sent, received, missing, unexpected, shifted } = difference;
            let _ = writeln!(
                out,
                "{name:<6} {sent:>8}  {received:>8}  {missing:>8}  {unexpected:>10}  {shifted:>15}"
            );
        }
        out.push_str(if self.is_equal() { "equal\n" } else { "different\n" });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_never_began_there_are_no_times() {
        let failed = Published { error: Some("refused".to_owned()), ..Published::default() };
        let began = Published { started_after: Some(Duration::from_millis(7)), ..Published::default() };
        let all = vec![failed.clone()];
        assert!(!all.text().contains("publishing began"), "{}", all.text());
        assert!(all.json().0.contains("\"start_ms\":{\"count\":0,\"median\":null,"), "{}", all.json().0);
        let some = vec![failed, began];
        assert!(some.text().contains("began after 7.000 ms (median), 7.000 ms (last)"), "{}", some.text());
        assert!(some.json().0.contains("\"start_ms\":{\"count\":1,\"median\":7.000,"), "{}", some.json().0);
        let nothing = Measurement::default();
        assert!(!nothing.text().contains("0.000"), "{}", nothing.text());
        assert!(nothing.json().0.ends_with("\"max\":null}}"), "{}", nothing.json().0);
    }
}
