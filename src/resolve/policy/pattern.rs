//! The patterns of a policy: `*` stands for any text without `/` and `:`, and `{{ namespace }}` for the RealtimeToken's
//! namespace.
//!
//! `/` and `:` set apart what is another thing to a provider: a path that leads elsewhere, another vendor's model, a
//! fine-tuned one. So `gpt-*` allows neither `gpt-x/../other` nor `gpt-4:ft-acme`.

const SEPARATORS: [char; 2] = ['/', ':'];
const NAMESPACE: &str = "{{ namespace }}";

/// Whether a pattern matches a text in this namespace. One that the CRD refuses matches nothing.
pub(super) fn matches(pattern: &str, text: &str, namespace: &str) -> bool {
    let Some(pattern) = filled(pattern, namespace) else {
        return false;
    };
    let same_separators = pattern.matches(SEPARATORS).eq(text.matches(SEPARATORS));
    // `?` is an ordinary character here; a type parameter of WildMatchPattern turns its special meaning off.
    let part_matches =
        |(pattern, part): (&str, &str)| wildmatch::WildMatchPattern::<'*', '\0'>::new(pattern).matches(part);
    same_separators && pattern.split(SEPARATORS).zip(text.split(SEPARATORS)).all(part_matches)
}

/// The pattern for a namespace. What stands beside the namespace must be none that a namespace's name could go on with:
/// `{{ namespace }}-*` would let `shop` pass for `shop-b`.
fn filled(pattern: &str, namespace: &str) -> Option<String> {
    let Some((before, after)) = pattern.split_once(NAMESPACE) else {
        return (!pattern.contains("{{")).then(|| pattern.to_owned());
    };
    let parts = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "-*{}".contains(c));
    let is_apart = before.chars().next_back().is_none_or(parts) && after.chars().next().is_none_or(parts);
    let is_only = !before.contains("{{") && !after.contains("{{");
    (is_apart && is_only && !namespace.is_empty()).then(|| format!("{before}{namespace}{after}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stands_for_any_text_within_one_part() {
        for (pattern, text, expected) in [
            ("gpt-realtime-*", "gpt-realtime-2.1", true),
            ("gpt-realtime-*", "gpt-realtime-", true),
            ("gpt-realtime*", "gpt-realtime/../x", false),
            ("gpt-realtime*", "gpt-realtime:ft-acme", false),
            ("gpt-realtime*", "gpt-realtime/", false),
            ("*", "a/b", false),
            ("*", "a:b", false),
            ("**", "a/b", false),
            ("*/*", "a/b", true),
            ("*/*", "a/b/c", false),
            ("*/*", "a:b", false),
            ("ft:gpt-*:acme:*", "ft:gpt-x:acme:1", true),
            ("ft:gpt-*:acme:*", "ft:gpt-x:acme:1:2", false),
            ("ft:gpt-*", "ft:gpt-x:acme", false),
            ("a/b", "a/b", true),
            ("a/b", "a:b", false),
        ] {
            assert_eq!(matches(pattern, text, "shop"), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_namespace_stands_apart_from_what_is_beside_it() {
        for (pattern, text, expected) in [
            ("{{ namespace }}_*", "shop_lobby", true),
            ("{{ namespace }}_*", "shop-b_lobby", false),
            ("{{ namespace }}_*", "shop_", true),
            ("{{ namespace }}/*", "shop/lobby", true),
            ("{{ namespace }}/*", "shop/lobby/1", false),
            ("room:{{ namespace }}", "room:shop", true),
            ("{{ namespace }}", "shop", true),
            ("{{ namespace }}", "shop_", false),
            // Another namespace could pass for this one.
            ("{{ namespace }}-*", "shop-lobby", false),
            ("{{ namespace }}*", "shop", false),
            ("*{{ namespace }}", "shop", false),
            ("x-{{ namespace }}", "x-shop", false),
            ("{{ namespace }}a", "shopa", false),
            // As the CRD spells it, and once.
            ("{{namespace}}_*", "shop_lobby", false),
            ("{{ name }}_*", "shop_lobby", false),
            ("{{ namespace }}_{{ namespace }}", "shop_shop", false),
            ("*_{{", "a_{{", false),
        ] {
            assert_eq!(matches(pattern, text, "shop"), expected, "{pattern} {text}");
        }
    }

    proptest! {
        /// Whatever a tenant writes, it is never both of its own namespace and of another.
        #[test]
        fn no_text_is_of_two_namespaces(
            one in "[a-z]([-a-z0-9]{0,6}[a-z0-9])?", other in "[a-z]([-a-z0-9]{0,6}[a-z0-9])?", rest in "[-a-z0-9_/:.]{0,12}",
            pattern in prop::sample::select(vec!["{{ namespace }}-*", "{{ namespace }}*", "*{{ namespace }}", "{{ namespace }}_*", "{{ namespace }}.*", "{{ namespace }}/*", "*:{{ namespace }}"]),
        ) {
            prop_assume!(one != other);
            for text in [format!("{one}{rest}"), format!("{rest}{one}"), rest] {
                prop_assert!(!(matches(pattern, &text, &one) && matches(pattern, &text, &other)), "{}", text);
            }
        }

        #[test]
        fn a_pattern_without_a_star_is_the_text_itself(pattern in "[a-z?\\[\\].0/:]{1,6}", text in "[a-z?\\[\\].0/:]{1,6}") {
            prop_assert!(matches(&pattern, &pattern, "shop"));
            prop_assert_eq!(matches(&pattern, &text, "shop"), pattern == text);
        }
    }
}
