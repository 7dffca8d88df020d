use std::fmt;

/// The conditions of both kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionType {
    /// RealtimeToken: the Secret holds a token with at least minRemainingSeconds of life.
    /// ClusterRealtimeProvider: its key can be read, and the provider is not out of order.
    Ready,
    /// RealtimeToken: a mint is due, failing or waiting.
    Renewing,
    /// RealtimeToken: the schedule keeps the floor for every reader.
    FreshnessGuaranteed,
    /// RealtimeToken: tokens are handed out on request. Only with `spec.requests`.
    Serving,
    /// RealtimeToken: Ready, and what the Secret holds is made from the latest spec.
    SpecApplied,
    /// RealtimeToken: the token in the Secret suits one reader. Only where it does.
    SingleReader,
    /// ClusterRealtimeProvider: the provider accepted the key at the last mint.
    CredentialValid,
}

impl ConditionType {
    /// The `type` of the condition.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Renewing => "Renewing",
            Self::FreshnessGuaranteed => "FreshnessGuaranteed",
            Self::Serving => "Serving",
            Self::SpecApplied => "SpecApplied",
            Self::SingleReader => "SingleReader",
            Self::CredentialValid => "CredentialValid",
        }
    }
}

macro_rules! reasons {
    ($($reason:ident),* $(,)?) => {
        /// Why a condition is what it is, also the reason of Events and a label of metrics.
        /// `docs/troubleshooting.md` has a line for each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(
            missing_docs,
            reason = "docs/troubleshooting.md says what each means, and a test compares the two"
        )]
        pub enum Reason {
            $($reason,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$reason),*];

            /// The CamelCase word that users see.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$reason => stringify!($reason),)*
                }
            }
        }
    };
}

reasons! {
    Ready,
    Issued,
    Renewed,
    Applied,
    Pending,
    AwaitingRenewal,
    LifetimeSufficient,
    MintFailed,
    ProviderUnavailable,
    RateLimited,
    QuotaExhausted,
    ProviderNotFound,
    CredentialNotFound,
    CredentialRejected,
    CredentialFound,
    CredentialAccepted,
    CredentialUntested,
    ModelNotAllowed,
    ExpirationNotAllowed,
    EndpointNotAllowed,
    FieldNotAllowed,
    TargetNotAllowed,
    CredentialNotAllowed,
    SecretConflict,
    SecretWriteFailed,
    SecretImmutable,
    SecretRewritten,
    QuotaExceeded,
    NamespaceTerminating,
    ChangedTooOften,
    OnRequestOnly,
    RequestsServed,
    RequestsNotEnabled,
    LifetimeTooShort,
    SingleUseToken,
    SharedIdentity,
    Expired,
    Suspended,
    InvalidSpec,
}

impl Reason {
    /// Whether it stays until a person changes something, as `docs/troubleshooting.md` sorts the reasons. What is not
    /// here passes by itself, or is no trouble.
    #[must_use]
    pub const fn needs_a_person(self) -> bool {
        matches!(
            self,
            Self::MintFailed
                | Self::QuotaExhausted
                | Self::ProviderNotFound
                | Self::CredentialNotFound
                | Self::CredentialRejected
                | Self::ModelNotAllowed
                | Self::ExpirationNotAllowed
                | Self::EndpointNotAllowed
                | Self::FieldNotAllowed
                | Self::TargetNotAllowed
                | Self::CredentialNotAllowed
                | Self::SecretConflict
                | Self::SecretWriteFailed
                | Self::SecretImmutable
                | Self::SecretRewritten
                | Self::QuotaExceeded
                | Self::ChangedTooOften
                | Self::RequestsNotEnabled
                | Self::LifetimeTooShort
                | Self::InvalidSpec
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
