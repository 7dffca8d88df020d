//! Access tokens that were exchanged, each kept until shortly before its end. Pure: time is an argument.

use std::collections::HashMap;
use std::hash::Hash;

use jiff::Timestamp;
use secrecy::SecretString;

use super::AccessToken;

/// So many identities at a time have a token; past that the token that ends first goes.
const LARGEST: usize = 1024;

#[derive(Debug)]
pub(crate) struct AccessTokens<K> {
    tokens: HashMap<K, AccessToken>,
}

impl<K> Default for AccessTokens<K> {
    fn default() -> Self {
        Self { tokens: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash> AccessTokens<K> {
    /// The token of an identity, unless another is to be asked for.
    pub(crate) fn get(&self, identity: &K, now: Timestamp) -> Option<&AccessToken> {
        self.tokens.get(identity).filter(|token| now < token.refresh_at)
    }

    pub(crate) fn insert(&mut self, identity: K, token: AccessToken, now: Timestamp) {
        self.tidy(now);
        if self.tokens.len() >= LARGEST && !self.tokens.contains_key(&identity) {
            let first = self.tokens.iter().min_by_key(|(_, token)| token.refresh_at);
            if let Some(first) = first.map(|(identity, _)| identity.clone()) {
                self.tokens.remove(&first);
            }
        }
        self.tokens.insert(identity, token);
    }

    /// Drops the token that a provider refused. Another one that came meanwhile stays.
    pub(crate) fn remove(&mut self, identity: &K, refused: &SecretString) {
        if self.tokens.get(identity).is_some_and(|token| token.is(refused)) {
            self.tokens.remove(identity);
        }
    }

    /// Drops the tokens that are no longer used.
    pub(crate) fn tidy(&mut self, now: Timestamp) {
        self.tokens.retain(|_, token| now < token.refresh_at);
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn token(value: &str, life: i64) -> AccessToken {
        AccessToken::new(value.into(), at(0), at(life))
    }

    #[test]
    fn a_token_is_kept_until_a_margin_before_its_end() {
        for (life, kept) in [(3600, 3300), (600, 300), (60, 30), (0, 0), (-5, -5)] {
            assert_eq!(token("t", life).refresh_at, at(kept), "{life}");
        }
        let mut cache = AccessTokens::default();
        cache.insert("a", token("one", 3600), at(0));
        assert!(cache.get(&"a", at(3299)).is_some_and(|token| token.is(&"one".into())));
        assert!(cache.get(&"a", at(3300)).is_none());
        assert!(cache.get(&"b", at(0)).is_none());
        cache.tidy(at(3299));
        assert_eq!(cache.tokens.len(), 1);
        cache.tidy(at(3300));
        assert_eq!(cache.tokens.len(), 0, "no token stays in memory that isn't used");
    }

    #[test]
    fn only_the_refused_token_is_dropped() {
        let mut cache = AccessTokens::default();
        cache.insert("a", token("two", 3600), at(0));
        cache.remove(&"a", &"one".into());
        assert!(cache.get(&"a", at(1)).is_some());
        cache.remove(&"a", &"two".into());
        assert!(cache.get(&"a", at(1)).is_none());
    }

    #[test]
    fn it_is_bounded() {
        let mut cache = AccessTokens::default();
        for number in 0..LARGEST + 10 {
            let life = 3600 + i64::try_from(number).unwrap();
            cache.insert(number, token("t", life), at(0));
        }
        assert_eq!(cache.tokens.len(), LARGEST);
        assert!(cache.get(&9, at(0)).is_none() && cache.get(&10, at(0)).is_some());
        let again = AccessToken {
            refresh_at: at(0) + SignedDuration::from_secs(9),
            ..token("u", 18)
        };
        cache.insert(10, again, at(0));
        assert_eq!(cache.tokens.len(), LARGEST, "a renewed one takes no place of another");
    }
}
