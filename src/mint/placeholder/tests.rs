use super::*;

#[test]
fn what_an_expression_depends_on() {
    for (source, on_life, is_instant) in [
        ("ttlSeconds", true, false),
        ("expires", true, true),
        ("expiresMillis", true, true),
        ("expires - now", true, false),
        ("now", false, false),
        ("params.user", false, false),
    ] {
        let it = Placeholder::compile(source).unwrap();
        assert_eq!(
            (it.depends_on_life(), it.is_instant()),
            (on_life, is_instant),
            "{source}"
        );
    }
}

#[test]
fn an_expression_has_a_largest_size() {
    let of_size = |size: usize| Placeholder::compile(&format!("{:>size$}", "now")).is_ok();
    assert!(of_size(LONGEST_EXPRESSION) && !of_size(LONGEST_EXPRESSION + 1));
    let param = |size: usize| {
        let params = Map::from_iter([("a".to_owned(), "x".repeat(size).into())]);
        let text = Text::parse("{{ params.a }}", "body").unwrap();
        check_params("http", &params, &[text]).is_ok()
    };
    assert!(!param(0) && param(1) && param(LONGEST_PARAM) && !param(LONGEST_PARAM + 1));
}

#[test]
fn only_the_namespace_must_stand_apart() {
    let parse = |text| Text::parse(text, "body").is_ok();
    assert!(parse("a-{{ subject }}/{{ namespace }}"));
    assert!(!parse("{{ subject }}/a-{{ namespace }}") && !parse("{{ subject }}{{ namespace }}"));
}
