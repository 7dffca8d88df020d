//! The two text formats: OpenMetrics for whoever asks for it, Prometheus' own for all others.

use http::HeaderMap;
use http::header::ACCEPT;

/// How the metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0, which Prometheus prefers.
    OpenMetrics,
    /// The text format 0.0.4, which everything reads: `promtool check metrics`, agents of other vendors, people.
    Text,
}

impl Format {
    /// The format that the `Accept` headers of a request ask for.
    #[must_use]
    pub fn accepted(headers: &HeaderMap) -> Self {
        let (mut open_metrics, mut text) = (0.0_f32, 0.0_f32);
        let accepted = headers.get_all(ACCEPT).iter();
        for range in accepted
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
        {
            let mut parts = range.split(';').map(str::trim);
            let weight = match parts.next() {
                Some("application/openmetrics-text") => &mut open_metrics,
                Some("text/plain") => &mut text,
                _ => continue,
            };
            let quality = parts.find_map(|part| part.strip_prefix("q="));
            *weight = weight.max(quality.and_then(|q| q.parse().ok()).unwrap_or(1.0));
        }
        if open_metrics > 0.0 && open_metrics >= text {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The `Content-Type`.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// OpenMetrics as the older format. The samples are the same; there a family is called as its samples are, and there is
/// no type `info` and no end mark.
pub(super) fn text(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + 1024);
    let mut help = "";
    let mut put = |parts: &[&str]| {
        parts.iter().for_each(|part| text.push_str(part));
        text.push('\n');
    };
    for line in open_metrics.lines() {
        if let Some(about) = line.strip_prefix("# HELP ") {
            help = about.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|about| about.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                _ => ("", kind),
            };
            put(&["# HELP ", name, suffix, " ", help]);
            put(&["# TYPE ", name, suffix, " ", kind]);
        } else if !line.starts_with('#') {
            put(&[line]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn who_asks_for_open_metrics_gets_it_and_all_others_get_text() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                            text/plain;version=0.0.4;q=0.4,*/*;q=0.1";
        for (accept, format) in [
            (prometheus_2, Format::OpenMetrics),
            (prometheus_3, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            (
                "text/plain;version=0.0.4;q=0.8, application/openmetrics-text;q=0.5",
                Format::Text,
            ),
            ("application/openmetrics-text;q=0", Format::Text),
            ("text/plain", Format::Text),
            ("text/html,*/*;q=0.8", Format::Text),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(Format::accepted(&headers), format, "{accept}");
        }
        assert_eq!(Format::accepted(&HeaderMap::new()), Format::Text);
        let separate = ["text/plain;q=0.5", "application/openmetrics-text"];
        let separate = separate.map(|accept| (ACCEPT, HeaderValue::from_static(accept)));
        let mut headers = HeaderMap::new();
        headers.extend(separate.map(|(name, value)| (Some(name), value)));
        assert_eq!(Format::accepted(&headers), Format::OpenMetrics);
    }

    #[test]
    fn families_are_called_as_their_samples_are() {
        let open = "# HELP a_mints Calls.\n# TYPE a_mints counter\na_mints_total{p=\"x # y\"} 1\n\
                    # HELP a_build The version.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n\
                    # HELP a_s Time.\n# TYPE a_s histogram\na_s_sum 2.0\na_s_count 1\na_s_bucket{le=\"+Inf\"} 1\n# EOF\n";
        let expected = "# HELP a_mints_total Calls.\n# TYPE a_mints_total counter\na_mints_total{p=\"x # y\"} 1\n\
                    # HELP a_build_info The version.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n\
                    # HELP a_s Time.\n# TYPE a_s histogram\na_s_sum 2.0\na_s_count 1\na_s_bucket{le=\"+Inf\"} 1\n";
        assert_eq!(text(open), expected);
    }
}
