//! What telemetry costs, as the daemon meters it.

use serde_json::Value;

use crate::client::number;
use crate::daemon::Launch;
use crate::otlp::Encoding;
use crate::vertical::fixtures;

/// Scenario: all signals are sent twice, flushed, read by SQL, and flushed again;
/// then once more, with a SIGKILL before the flush.
/// Guarantees: `usage` counts every row once, with the bytes that came in, were
/// stored and were scanned; a crash before rows are written out costs none.
#[tokio::test(flavor = "multi_thread")]
async fn usage_counts_rows_and_bytes_by_service_and_day() {
    let dir = tempfile::tempdir().unwrap();
    let launch = Launch::new(dir.path()).set("flush.max_age=1h");
    let daemon = launch.start().await;
    let (requests, _) = fixtures();
    let mut sent = 0;
    for request in requests.iter().chain(&requests) {
        daemon.ack(Encoding::HttpProtobuf, request).await;
        sent += request.protobuf.len() as i64;
    }
    daemon.flush().await;
    for signal in ["spans", "logs", "metrics"] {
        daemon.sql(&format!("SELECT max(service_name || node_id) FROM {signal}")).await;
    }
    daemon.flush().await;

    let per_service = "SELECT service_name, sum(rows) FROM usage \
         WHERE rows > 0 GROUP BY 1 ORDER BY 1";
    let stored = "SELECT service_name, count(*) FROM \
         (SELECT service_name FROM spans UNION ALL SELECT service_name FROM logs \
          UNION ALL SELECT service_name FROM metrics) GROUP BY 1 ORDER BY 1";
    let totals = "SELECT sum(bytes_in), sum(bytes_stored), sum(bytes_scanned) FROM usage";
    let counted = daemon.sql(per_service).await.rows;
    assert!(counted.iter().any(|row| row[0] != Value::Null), "{counted:?}");
    assert_eq!(counted, daemon.sql(stored).await.rows);
    let bytes = daemon.sql(totals).await.rows.remove(0);
    let files = "SELECT sum(bytes) FROM system.files WHERE table_name <> 'usage_parts'";
    assert_eq!(number(&bytes[0]), sent);
    assert_eq!(number(&bytes[1]), daemon.sql(files).await.number());
    assert!(number(&bytes[2]) > 0);

    for request in &requests {
        daemon.ack(Encoding::HttpProtobuf, request).await;
    }
    daemon.kill().await;
    let daemon = launch.start().await;
    assert_eq!(counted, daemon.sql(per_service).await.rows);
    daemon.flush().await;
    assert_eq!(daemon.sql(stored).await.rows, daemon.sql(per_service).await.rows);
    daemon.stop().await;
}
