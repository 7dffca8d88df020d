//! Tokens that are signed here within one second.

use super::*;

/// Or two users who ask in the same second get the same token, and two replicas give one token twice.
#[test]
fn tokens_of_one_second_differ_where_their_format_has_a_place_for_it() {
    let mut random = 0;
    for file in all().unwrap() {
        let ask = ask(&file.example);
        let credential = credential(&ask, &file.secret);
        let token = |nonce| {
            let mint = Mint {
                nonce,
                ..mint(&ask, &credential, NOW)
            };
            match ask.block.provider().start(&mint).ok()? {
                Step::Done(answer) => Some(answer.value.expose_secret().to_owned()),
                Step::Send(_) => None,
            }
        };
        let Some(first) = token([7; 16]) else {
            continue;
        };
        assert_eq!(token([7; 16]).as_ref(), Some(&first), "{}", file.field);
        if file.random_jti {
            assert_ne!(token([8; 16]), Some(first), "{}", file.field);
            random += 1;
        }
    }
    assert!(random >= 2);
}
