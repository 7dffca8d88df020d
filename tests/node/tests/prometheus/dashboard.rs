//! The dashboard's queries, with Grafana's part played here.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::server::Prometheus;

const DASHBOARD: &str = include_str!("../../../../charts/realtime-token-operator/files/dashboard.json");

/// One query of a panel.
pub struct Query {
    pub panel: String,
    pub expression: String,
}

/// Every query, with the variables replaced by all of their values, as "All" does.
pub async fn queries(prometheus: &Prometheus) -> Result<Vec<Query>> {
    let dashboard: Value = serde_json::from_str(DASHBOARD)?;
    let mut variables = vec![
        ("$__rate_interval".to_owned(), "1m".to_owned()),
        ("$__range".to_owned(), "1h".to_owned()),
    ];
    for variable in list(&dashboard["templating"]["list"])? {
        if variable["type"] != "query" {
            continue;
        }
        let query = text(&variable["query"]["query"])?;
        let (series, label) = query
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'))
            .and_then(|rest| rest.rsplit_once(", "))
            .with_context(|| format!("{query} isn't label_values(series, label)"))?;
        let series = filled_in(series, &variables);
        let values = prometheus.label_values(label, &series).await?;
        let name = text(&variable["name"])?;
        if values.is_empty() {
            bail!("the variable {name} has no values: {series}");
        }
        variables.push((format!("${name}"), format!("({})", values.join("|"))));
    }
    let mut queries = Vec::new();
    for panel in list(&dashboard["panels"])? {
        let title = text(&panel["title"])?;
        let targets = panel["targets"].as_array();
        if panel["type"] != "row" && targets.is_none_or(Vec::is_empty) {
            bail!("the panel {title} asks nothing");
        }
        for target in targets.into_iter().flatten() {
            let expression = filled_in(text(&target["expr"])?, &variables);
            if expression.contains('$') {
                bail!("{title} has a variable that the dashboard lacks: {expression}");
            }
            queries.push(Query {
                panel: title.to_owned(),
                expression,
            });
        }
    }
    Ok(queries)
}

fn filled_in(expression: &str, variables: &[(String, String)]) -> String {
    variables
        .iter()
        .fold(expression.to_owned(), |expression, (name, value)| {
            expression.replace(name, value)
        })
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().with_context(|| format!("no list: {value}"))
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("no text: {value}"))
}
