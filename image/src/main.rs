//! Prints Mozilla's CA roots as PEM. From a crate and not from the machine's own store: every machine prints the same,
//! and a new set of roots comes as a change of Cargo.lock that can be seen and reviewed.

use std::io::{BufWriter, Result, Write, stdout};

use base64::{Engine as _, prelude::BASE64_STANDARD};

fn main() -> Result<()> {
    let mut out = BufWriter::new(stdout().lock());
    for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        writeln!(out, "-----BEGIN CERTIFICATE-----")?;
        let body = BASE64_STANDARD.encode(root);
        for line in body.as_bytes().chunks(64) {
            out.write_all(line)?;
            writeln!(out)?;
        }
        writeln!(out, "-----END CERTIFICATE-----")?;
    }
    out.flush()
}
