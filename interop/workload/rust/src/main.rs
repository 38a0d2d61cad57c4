//! Asks a Workload API with crates.io's `spiffe` and writes what it saw, one JSON object a line:
//! `rust-judge live SOCKET AUDIENCE`.
//!
//! It holds no opinion of its own: what to expect is the caller's business.

use std::collections::HashSet;

use futures::StreamExt;
use serde_json::{Value, json};
use spiffe::{JwtSvid, WorkloadApiClient, WorkloadApiError};

fn say(step: &str, mut facts: Value) {
    facts["step"] = json!(step);
    println!("{facts}");
}

fn refused(step: &str, error: &dyn std::error::Error) {
    say(step, json!({ "said": error.to_string() }));
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let (socket, audience) = (&arguments[2], &arguments[3]);
    let client = match WorkloadApiClient::connect_to(socket).await {
        Ok(client) => client,
        Err(error) => return refused("error", &error),
    };
    let is_served = match client.fetch_x509_context().await {
        Ok(context) => {
            let ids: Vec<String> = context.svids().iter().map(|svid| svid.spiffe_id().to_string()).collect();
            say("x509", json!({ "ids": ids }));
            true
        }
        Err(error) => {
            refused("x509-refused", &error);
            false
        }
    };
    if let Err(error) = tokens(&client, audience).await {
        refused("jwt-refused", &error);
    }
    match client.fetch_x509_bundles().await {
        Ok(set) => {
            let domains: Vec<String> = set.iter().map(|(name, _)| name.to_string()).collect();
            say("bundles", json!({ "domains": domains }));
        }
        Err(error) => refused("bundles-refused", &error),
    }
    if is_served {
        watch(&client).await;
    }
}

async fn tokens(client: &WorkloadApiClient, audience: &str) -> Result<(), WorkloadApiError> {
    let bundles = client.fetch_jwt_bundles().await?;
    for svid in client.fetch_all_jwt_svids([audience], None).await? {
        // Both: what the library proves by itself, and what the endpoint says.
        if let Err(error) = JwtSvid::parse_and_validate(svid.token(), &bundles, &[audience]) {
            refused("jwt-untrusted", &error);
            continue;
        }
        let validated = client.validate_jwt_token(audience, svid.token()).await?;
        say("jwt", json!({ "ids": [validated.spiffe_id().to_string()] }));
        if let Err(error) = client.validate_jwt_token("somebody-else", svid.token()).await {
            refused("audience-refused", &error);
        }
    }
    Ok(())
}

async fn watch(client: &WorkloadApiClient) {
    let mut seen = HashSet::new();
    let mut stream = match client.stream_x509_contexts().await {
        Ok(stream) => Box::pin(stream),
        Err(error) => return refused("error", &error),
    };
    loop {
        match stream.next().await {
            Some(Ok(context)) => {
                let leaf = context.default_svid().map(|svid| svid.leaf().as_ref().to_vec());
                if seen.insert(leaf) {
                    say(if seen.len() == 1 { "watching" } else { "rotated" }, json!({}));
                }
            }
            Some(Err(error)) => return refused("withdrawn", &error),
            None => return say("withdrawn", json!({ "said": "the stream ended" })),
        }
    }
}
