//! The binary.
#![allow(clippy::print_stdout)]
fn main() {
    for crd in realtime_token_operator::api::crds().unwrap_or_default() {
        println!("---\n{}", serde_saphyr::to_string(&crd).unwrap_or_default());
    }
}
