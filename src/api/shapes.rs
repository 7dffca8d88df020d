//! What several blocks share: enums of plain words, regions, accounts with an endpoint.

/// Enums of words, the first being the default. A documented variant would turn the schema's plain enum into a oneOf.
macro_rules! words {
    ($($(#[$about:meta])* $Name:ident: $first:ident $($other:ident)*;)*) => {
        $(
            $(#[$about])*
            #[derive(
                schemars::JsonSchema, Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize, PartialEq, Eq,
            )]
            #[allow(missing_docs, reason = "documented variants turn the schema's plain enum into a oneOf")]
            pub enum $Name {
                #[default]
                $first,
                $($other,)*
            }
        )*
    };
}
pub(super) use words;

/// The regions of a provider, each with the origin of its API, the first being the default.
macro_rules! regions {
    ($(#[$about:meta])* $Name:ident: $($region:ident $origin:literal),+) => {
        $crate::api::shapes::words! {
            $(#[$about])*
            $Name: $($region)+;
        }

        impl $Name {
            /// The origins of all regions.
            pub(crate) const ORIGINS: &'static [&'static str] = &[$($origin),+];

            /// The origin of this region.
            pub(crate) const fn origin(self) -> &'static str {
                match self {
                    $(Self::$region => $origin,)+
                }
            }
        }
    };
}
pub(super) use regions;

/// The account side of a provider that has nothing but an endpoint, perhaps in regions.
macro_rules! account {
    ($(#[$about:meta])* $Name:ident { $(#[$doc:meta])* endpoint }) => {
        $(#[$about])*
        #[derive(schemars::JsonSchema, Clone, Debug, Default, serde::Deserialize, serde::Serialize, PartialEq)]
        #[serde(rename_all = "camelCase")]
        pub struct $Name {
            $(#[$doc])*
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(schema_with = "crate::api::rules::origin")]
            pub endpoint: Option<String>,
        }
    };
    ($(#[$about:meta])* $Name:ident {
        $(#[$region_doc:meta])* region: $Region:ty,
        $(#[$doc:meta])* endpoint
    }) => {
        $(#[$about])*
        #[derive(schemars::JsonSchema, Clone, Debug, Default, serde::Deserialize, serde::Serialize, PartialEq)]
        #[serde(rename_all = "camelCase")]
        pub struct $Name {
            $(#[$region_doc])*
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub region: Option<$Region>,
            $(#[$doc])*
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(schema_with = "crate::api::rules::origin")]
            pub endpoint: Option<String>,
        }
    };
}
pub(super) use account;
