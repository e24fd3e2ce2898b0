//! More concurrent requests than seats.

use futures_util::future::join_all;
use gateway::serving::limits::Settings;

use super::server::{FOOS, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn excess_requests_are_shed_and_administrator_is_served() {
    let settings = Settings {
        reads: 5,
        ..Settings::default()
    };
    let test_server = TestServer::new(settings).await;
    let busy = test_server.http2(1 << 20).await;
    let path = format!("{FOOS}/hold");
    let holding = join_all((0..5).map(|_| busy.get(&path)));
    let holding = tokio::time::timeout(std::time::Duration::from_secs(10), holding);
    let others = async {
        while test_server.limits.in_flight().0 < 5 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let bob = test_server.http2_as("bob", Some("dev"), 1 << 20).await;
        let paths = [
            format!("{FOOS}/n"),
            FOOS.to_owned(),
            "/version".to_owned(),
            "/nope".to_owned(),
        ];
        // As many at once as a connection may have streams.
        for _ in 0..5 {
            let requests = (0..200).map(|at| bob.get(&paths[at % paths.len()]));
            for response in join_all(requests).await {
                assert_eq!(response.status(), 429);
                assert_eq!(response.headers()["retry-after"], "1");
            }
        }
        let probe = bob.get("/livez").await;
        assert_eq!(probe.status(), 200, "probes are never shed");
        let watch = bob.get(&format!("{FOOS}?watch=1")).await;
        assert_eq!(watch.status(), 403, "watches have seats of their own");
        let admin = test_server.http2(1 << 20).await;
        assert_eq!(admin.get(&paths[0]).await.status(), 200);
    };
    tokio::select! {
        _ = holding => panic!("the seats are held"),
        () = others => {}
    }
    drop(busy);
}
