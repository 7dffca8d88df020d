//! Templates in JSON: placeholders stand in any text of them, and in no name.

use serde_json::{Map, Value};

use super::{Text, Values};
use crate::mint::InvalidBlock;
use crate::token::MintError;

/// Levels of objects and lists in a template.
const DEEPEST: usize = 16;
/// A template as JSON, and what is made of it.
pub(crate) const LARGEST: usize = 16 * 1024;

/// Every text of a JSON template. Names are no templates.
pub(crate) fn texts(template: &Map<String, Value>, place: &str) -> Result<Vec<Text>, InvalidBlock> {
    let size = Value::Object(template.clone()).to_string().len();
    if size > LARGEST {
        return Err(InvalidBlock(format!(
            "{place}: {size} bytes of JSON, and at most {LARGEST} are allowed"
        )));
    }
    let mut found = Vec::new();
    map_object(template, place, 1, &mut |text| {
        found.push(text);
        Ok::<_, InvalidBlock>(Value::Null)
    })?;
    Ok(found)
}

/// A JSON template with its placeholders filled in.
pub(crate) fn filled(
    template: &Map<String, Value>,
    place: &str,
    values: &Values<'_>,
) -> Result<Map<String, Value>, MintError> {
    map_object(template, place, 1, &mut |text| text.typed(values))
}

fn map_object<E: From<InvalidBlock>>(
    object: &Map<String, Value>,
    place: &str,
    depth: usize,
    map_text: &mut impl FnMut(Text) -> Result<Value, E>,
) -> Result<Map<String, Value>, E> {
    let pairs = object.iter().map(|(name, value)| {
        let place = format!("{place}/{name}");
        plain_name(name, &place)?;
        Ok((name.clone(), map_value(value, &place, depth, map_text)?))
    });
    pairs.collect()
}

fn map_value<E: From<InvalidBlock>>(
    value: &Value,
    place: &str,
    depth: usize,
    map_text: &mut impl FnMut(Text) -> Result<Value, E>,
) -> Result<Value, E> {
    if depth > DEEPEST {
        // The place itself is as long as the template is deep.
        let place: String = place.chars().take(128).collect();
        return Err(InvalidBlock(format!("{place}…: more than {DEEPEST} levels deep")).into());
    }
    Ok(match value {
        Value::String(text) => map_text(Text::parse(text, place)?)?,
        Value::Array(items) => {
            let items = items.iter().enumerate();
            let items = items.map(|(nth, item)| map_value(item, &format!("{place}/{nth}"), depth + 1, map_text));
            items.collect::<Result<Vec<_>, E>>()?.into()
        }
        Value::Object(fields) => map_object(fields, place, depth + 1, map_text)?.into(),
        other => other.clone(),
    })
}

/// A name that isn't a template.
pub(crate) fn plain_name(name: &str, place: &str) -> Result<(), InvalidBlock> {
    if name.contains("{{") || name.contains("}}") {
        return Err(InvalidBlock(format!(
            "{place}: a name can't hold a placeholder, only a value can"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(template: &Value) -> Result<usize, InvalidBlock> {
        texts(template.as_object().unwrap(), "body").map(|texts| texts.len())
    }

    #[test]
    fn a_template_has_a_largest_size() {
        // The name, quotes and braces take eight bytes.
        let of_size = |size: usize| json!({"a": "x".repeat(size - 8)});
        assert_eq!(read(&of_size(LARGEST)).ok(), Some(1));
        for size in [LARGEST + 1, LARGEST + 2] {
            assert!(read(&of_size(size)).is_err(), "{size}");
        }
    }

    #[test]
    fn a_template_has_a_largest_depth() {
        let nested = |levels: usize, nest: fn(Value) -> Value| {
            let inner = (1..levels).fold(json!("x"), |inner, _| nest(inner));
            json!({"a": inner})
        };
        for nest in [|inner| json!([inner]), |inner| json!({"a": inner})] {
            assert_eq!(read(&nested(DEEPEST, nest)).ok(), Some(1));
            for levels in [DEEPEST + 1, DEEPEST + 5] {
                assert!(read(&nested(levels, nest)).is_err(), "{levels}");
            }
        }
    }

    #[test]
    fn a_name_holds_no_half_of_a_placeholder_either() {
        for name in ["{{ model }}", "{{", "}}"] {
            assert!(read(&json!({name: "x"})).is_err(), "{name}");
        }
        assert_eq!(read(&json!({"{model}": "x"})).ok(), Some(1));
    }
}
