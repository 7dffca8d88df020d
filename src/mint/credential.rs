//! What a provider is asked with: the values of a key, by what it needs them for and where they were found, or an
//! access token.

use std::collections::BTreeMap;

use secrecy::SecretString;

use crate::api::SecretField;

/// The values of a key Secret, each by the key of its [`SecretField`], or an access token in place of the only one.
#[derive(Clone, Debug, Default)]
pub struct Credential {
    values: BTreeMap<&'static str, SecretString>,
    is_access_token: bool,
    /// The variable or file on this machine that holds each value. Empty for the values of a Secret.
    places: BTreeMap<&'static str, String>,
    /// The Secret that the values are from.
    secret: Option<String>,
    asked_once: bool,
}

impl Credential {
    pub fn new(values: impl IntoIterator<Item = (&'static str, SecretString)>) -> Self {
        Self {
            values: values.into_iter().collect(),
            is_access_token: false,
            places: BTreeMap::new(),
            secret: None,
            asked_once: false,
        }
    }

    /// An access token in place of the key.
    pub(crate) fn access_token(key: &SecretField, token: SecretString) -> Self {
        Self {
            is_access_token: true,
            ..Self::new([(key.key, token)])
        }
    }

    pub(crate) const fn is_access_token(&self) -> bool {
        self.is_access_token
    }

    /// The places of values on this machine, for messages that say what to correct.
    #[must_use]
    pub(crate) fn given_in(self, places: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self {
            places: places.into_iter().collect(),
            ..self
        }
    }

    /// For messages: a person waits for the answer, and nothing asks again.
    #[must_use]
    pub(crate) fn asked_once(self) -> Self {
        Self {
            asked_once: true,
            ..self
        }
    }

    /// The Secret that the values are from, as those know it who read the messages.
    #[must_use]
    pub(crate) fn stored_in(self, secret: String) -> Self {
        Self {
            secret: Some(secret),
            ..self
        }
    }

    fn secret(&self) -> &str {
        self.secret.as_deref().unwrap_or("the Secret")
    }

    /// Where one value is to be corrected.
    pub(crate) fn place_of(&self, field: &SecretField) -> &str {
        self.places.get(field.key).map_or_else(|| self.secret(), String::as_str)
    }

    /// Where the key is to be corrected, all values of it.
    pub(crate) fn place(&self) -> String {
        if self.places.is_empty() {
            return self.secret().to_owned();
        }
        let places: Vec<_> = self.places.values().map(String::as_str).collect();
        places.join(" and ")
    }

    pub(crate) const fn is_asked_once(&self) -> bool {
        self.asked_once
    }

    /// Whether the values lie on this machine, and not in a Secret.
    pub(crate) fn is_on_this_machine(&self) -> bool {
        !self.places.is_empty()
    }

    pub(crate) fn get(&self, field: &SecretField) -> Option<&SecretString> {
        self.values.get(field.key)
    }

    /// All values, for scrubbing error messages and for the credential's revision.
    pub(crate) fn values(&self) -> impl Iterator<Item = &SecretString> {
        self.values.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: SecretField = SecretField {
        key: "api-key",
        env: "X",
    };

    #[test]
    fn what_is_known_of_a_key_beside_its_value() {
        let key = || Credential::new([("api-key", "sk-1".into())]);
        assert!(!key().is_access_token() && !key().is_asked_once() && !key().is_on_this_machine());
        assert_eq!(
            (key().place(), key().place_of(&KEY)),
            ("the Secret".to_owned(), "the Secret")
        );

        let token = Credential::access_token(&KEY, "token".into());
        assert!(token.is_access_token() && token.get(&KEY).is_some());
        assert!(key().asked_once().is_asked_once());

        let stored = key().stored_in("Secret apps/key".to_owned());
        assert!(!stored.is_on_this_machine());
        assert_eq!(
            (stored.place(), stored.place_of(&KEY)),
            ("Secret apps/key".to_owned(), "Secret apps/key")
        );

        let given = key().given_in([("api-key", "OPENAI_API_KEY".to_owned())]);
        assert!(given.is_on_this_machine());
        assert_eq!(
            (given.place(), given.place_of(&KEY)),
            ("OPENAI_API_KEY".to_owned(), "OPENAI_API_KEY")
        );
    }
}
