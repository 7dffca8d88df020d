//! `target.template.data`, rendered by MiniJinja with bounds on work and size.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use minijinja::context;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::template::{LONGEST_ON_ANY_STACK, environment, on_large_stack};
use crate::token::Minted;

/// All rendered keys together, so that the Secret stays well below the API server's 1 MiB.
const MAX_RENDERED: usize = 256 * 1024;

/// A template that doesn't render. The text names the key and the place and quotes nothing of the values.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum TemplateError {
    #[error("target.template.data[{key:?}] line {line}: {problem}")]
    Invalid {
        key: String,
        /// The line within the template.
        line: usize,
        problem: String,
    },
    #[error("target.template.data[{key:?}]: the rendered keys exceed {} KiB together", MAX_RENDERED / 1024)]
    TooLarge { key: String },
}

pub(crate) fn render(
    templates: &BTreeMap<String, String>,
    minted: &Minted,
) -> Result<Vec<(String, SecretString)>, TemplateError> {
    let long = templates
        .iter()
        .find(|(_, template)| template.len() > LONGEST_ON_ANY_STACK);
    let Some((key, _)) = long else {
        return render_all(templates, minted);
    };
    on_large_stack(|| render_all(templates, minted)).unwrap_or_else(|| {
        Err(TemplateError::Invalid {
            key: key.clone(),
            line: 1,
            problem: "there was no memory to render it".into(),
        })
    })
}

fn render_all(
    templates: &BTreeMap<String, String>,
    minted: &Minted,
) -> Result<Vec<(String, SecretString)>, TemplateError> {
    let mut environment = environment();
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        environment.set_syntax(syntax); // fails only on clashing delimiters, and these are the default ones
    }
    let values = context! {
        token => minted.value.expose_secret(),
        provider => minted.provider.as_ref(),
        expiresAt => minted.expires_at.as_millisecond(),
        expiresAtRfc3339 => minted.expires_at.to_string(),
        config => Serde(&minted.config),
    };
    let mut size = 0;
    let render_one = |(key, template): (&String, &String)| {
        let rendered = environment
            .render_str(template, &values)
            .map_err(|error| invalid(key, &error))?;
        size += rendered.len();
        if size > MAX_RENDERED {
            return Err(TemplateError::TooLarge { key: key.clone() });
        }
        Ok((key.clone(), SecretString::from(rendered)))
    };
    templates.iter().map(render_one).collect()
}

/// Renders with a made-up token, to find a wrong template before a real token is minted for it.
pub(crate) fn check(
    templates: &BTreeMap<String, String>,
    provider: Cow<'static, str>,
    config: Map<String, Value>,
) -> Result<(), TemplateError> {
    if templates.is_empty() {
        return Ok(());
    }
    let example = Minted {
        provider,
        value: SecretString::from("example"),
        issued_at: Timestamp::UNIX_EPOCH,
        usable_until: Timestamp::UNIX_EPOCH,
        expires_at: Timestamp::UNIX_EPOCH,
        config,
        outputs: BTreeMap::new(),
    };
    render(templates, &example).map(|_| ())
}

/// Names the place; quotes no values.
fn invalid(key: &str, error: &minijinja::Error) -> TemplateError {
    let problem = match error.kind() {
        minijinja::ErrorKind::UndefinedError => {
            "unknown variable; there are token, provider, expiresAt, expiresAtRfc3339 and config".to_owned()
        }
        _ => crate::template::problem(error),
    };
    TemplateError::Invalid {
        key: key.to_owned(),
        line: error.line().unwrap_or(1),
        problem,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn checked(template: &str) -> Result<(), TemplateError> {
        let templates = BTreeMap::from([("k".to_owned(), template.to_owned())]);
        let config = r#"{"model": "m", "providerOptions": {"agentId": "agent_1"}}"#;
        check(&templates, "openai".into(), serde_json::from_str(config).unwrap())
    }

    #[test]
    fn the_config_is_the_providers_own() {
        assert_eq!(
            checked("{{ config.model }}/{{ config.providerOptions.agentId }}"),
            Ok(())
        );
        assert!(checked("{{ config.model.agentId.x }}").is_err());
    }

    #[test]
    fn all_keys_together_have_a_largest_size() {
        let size = |first: usize, second: usize| {
            let templates = [("a", first), ("b", second)].map(|(key, size)| (key.to_owned(), "x".repeat(size)));
            check(&templates.into(), "openai".into(), Map::new())
        };
        assert_eq!(size(MAX_RENDERED - 1, 1), Ok(()));
        assert_eq!(size(MAX_RENDERED, 1), Err(TemplateError::TooLarge { key: "b".into() }));
    }

    #[test]
    fn renders_text_as_it_is() {
        let minted = Minted {
            provider: "openai".into(),
            value: SecretString::from("ek_<1>&"),
            issued_at: Timestamp::UNIX_EPOCH,
            usable_until: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::from_millisecond(1_795_349_400_000).unwrap(),
            config: serde_json::from_str(r#"{"model":"gpt-realtime-2.1"}"#).unwrap(),
            outputs: std::collections::BTreeMap::new(),
        };
        let templates = BTreeMap::from([
            (".env".to_owned(), "TOKEN={{ token }}\nEXP={{ expiresAt }}\n".to_owned()),
            (
                "model.html".to_owned(),
                "{{ config.model }}/{{ expiresAtRfc3339 }}".to_owned(),
            ),
        ]);
        let rendered = render(&templates, &minted).unwrap();
        assert_eq!(rendered[0].1.expose_secret(), "TOKEN=ek_<1>&\nEXP=1795349400000\n");
        assert_eq!(rendered[1].1.expose_secret(), "gpt-realtime-2.1/2026-11-22T12:10:00Z");
    }

    #[test]
    fn hostile_templates_are_refused_with_their_place() {
        let unknown = checked("a\n{{ tokn }}").unwrap_err().to_string();
        assert!(unknown.contains("[\"k\"] line 2: unknown variable"), "{unknown}");
        assert!(
            checked("{{ token ")
                .unwrap_err()
                .to_string()
                .contains("line 1: syntax error")
        );
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(
            checked(endless)
                .unwrap_err()
                .to_string()
                .contains("more than 20000 instructions")
        );
        let huge = checked("{{ 'x' * 300000 }}");
        assert!(huge.is_err(), "{huge:?}");
    }

    #[test]
    fn long_expressions_do_not_use_up_the_stack() {
        assert_eq!(checked(&format!("{{{{ 1{} }}}}", "+1".repeat(4000))), Ok(()));
        assert!(checked(&format!("{{{{ 1{} }}}}", "[0]".repeat(2700))).is_err());
    }
}
