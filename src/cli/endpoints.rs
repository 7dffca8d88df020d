//! The arguments of whatever calls a provider.

use std::path::PathBuf;

use clap::Args;

#[derive(Args, Clone, Debug, Default)]
pub struct EndpointArgs {
    /// An origin that `endpoint` fields may name, with its scheme: https://gateway.example.com, http://127.0.0.1:8089.
    /// Repeat it, or separate several with commas. Without it only the providers' own hosts are called.
    #[arg(
        long = "allow-endpoint",
        env = "ALLOW_ENDPOINTS",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    pub allow_endpoints: Vec<String>,
    /// A file of PEM certificates to trust beside the system's, for a proxy or gateway with a private CA.
    #[arg(long, env = "CA_BUNDLE", value_name = "FILE")]
    pub ca_bundle: Option<PathBuf>,
}
