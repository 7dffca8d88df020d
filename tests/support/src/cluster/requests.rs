//! What the API server was asked, by its own count.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context, Result, bail};

/// What requests are counted by. API version, scope, dry run and component are summed up.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// `GET`, `LIST`, `WATCH`, `POST`, `PUT`, `PATCH`, `APPLY` (a server-side apply), `DELETE`, `DELETECOLLECTION`.
    pub verb: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The plural name, as in `secrets`; empty for paths that are no resource, like `/readyz`.
    pub resource: String,
    /// As in `status`; empty for the object itself.
    pub subresource: String,
    /// The HTTP status. 0 for a watch that its client ended.
    pub code: u16,
}

/// The counter `apiserver_request_total` at one moment.
///
/// The API server counts a request when it has answered it: a watch when it *ends*, and others a moment after the client
/// has the answer. It counts every client, itself included (leases, and its own namespaces at the start), so sum up what
/// you ask about by resource, and use a cluster of your own where other tests touch that resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts(BTreeMap<Request, u64>);

impl RequestCounts {
    /// Reads the text of `/metrics`.
    pub fn parse(metrics: &str) -> Result<Self> {
        let mut counts = BTreeMap::new();
        let series = metrics
            .lines()
            .filter_map(|line| line.strip_prefix("apiserver_request_total{"));
        for line in series {
            let (request, count) = parse_series(line).with_context(|| format!("apiserver_request_total{{{line}"))?;
            *counts.entry(request).or_default() += count;
        }
        Ok(Self(counts))
    }

    /// Counts one more.
    pub(crate) fn add(&mut self, request: Request) {
        *self.0.entry(request).or_default() += 1;
    }

    /// What came since `earlier`. The counters start at 0 with each start of the API server.
    pub fn since(&self, earlier: &Self) -> Self {
        let new = |(request, count): (&Request, &u64)| {
            let count = count.saturating_sub(earlier.count(request));
            (count > 0).then(|| (request.clone(), count))
        };
        Self(self.0.iter().filter_map(new).collect())
    }

    /// How many requests `filter` lets through.
    pub fn sum(&self, filter: impl Fn(&Request) -> bool) -> u64 {
        self.iter()
            .filter(|(request, _)| filter(request))
            .map(|(_, count)| count)
            .sum()
    }

    /// Every kind of request with its count.
    pub fn iter(&self) -> impl Iterator<Item = (&Request, u64)> {
        self.0.iter().map(|(request, count)| (request, *count))
    }

    fn count(&self, request: &Request) -> u64 {
        self.0.get(request).copied().unwrap_or_default()
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.subresource.is_empty() {
            write!(f, "/{}", self.subresource)?;
        }
        if !self.group.is_empty() {
            write!(f, " ({})", self.group)?;
        }
        write!(f, " -> {}", self.code)
    }
}

/// A line per kind of request, for the message of an assertion.
impl fmt::Display for RequestCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (request, count) in self.iter() {
            writeln!(f, "{count:6} {request}")?;
        }
        Ok(())
    }
}

/// `code="200",verb="GET",…} 17`: the part of a line after the opening brace.
fn parse_series(line: &str) -> Result<(Request, u64)> {
    let mut request = Request::default();
    let mut rest = line;
    while !rest.starts_with('}') {
        let (name, after) = rest.split_once("=\"").context("a label without a value")?;
        let (value, after) = unquote(after)?;
        match name {
            "verb" => request.verb = value,
            "group" => request.group = value,
            "resource" => request.resource = value,
            "subresource" => request.subresource = value,
            "code" => request.code = value.parse().context("the code")?,
            _ => {}
        }
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    let count: f64 = rest[1..].trim().parse().context("the count")?;
    Ok((request, count as u64))
}

/// The value up to its closing quote, and what follows that quote.
fn unquote(text: &str) -> Result<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, escaped)) => value.push(escaped),
                None => break,
            },
            _ => value.push(char),
        }
    }
    bail!("a label without its closing quote")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = r#"# TYPE apiserver_request_total counter
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="secrets",scope="resource",subresource="",verb="GET",version="v1"} 3
apiserver_request_total{code="200",component="apiserver",dry_run="All",group="",resource="secrets",scope="resource",subresource="",verb="GET",version="v1"} 1
apiserver_request_duration_seconds_count{verb="GET"} 99
"#;
    const AFTER: &str = r#"apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="secrets",scope="resource",subresource="",verb="GET",version="v1"} 5
apiserver_request_total{code="409",component="a,b\"}c",dry_run="",group="realtime.dev",resource="tokens",scope="resource",subresource="status",verb="APPLY",version="v1"} 2
"#;

    #[test]
    fn counts_and_compares() -> Result<()> {
        let before = RequestCounts::parse(BEFORE)?;
        assert_eq!(before.sum(|it| it.resource == "secrets"), 4);
        let new = RequestCounts::parse(AFTER)?.since(&before);
        assert_eq!(new.sum(|it| it.verb == "GET"), 1);
        assert_eq!(
            new.to_string(),
            "     2 APPLY tokens/status (realtime.dev) -> 409\n     1 GET secrets -> 200\n"
        );
        Ok(())
    }

    #[test]
    fn a_broken_line_is_an_error() {
        assert!(RequestCounts::parse("apiserver_request_total{code=\"200} 3").is_err());
    }
}
