//! What a request's headers ask for (H10, H11).

use http::{HeaderMap, StatusCode, header};
use tonic::Code;

use super::reply::Fault;
use crate::compression::Compression;
use crate::decode::Encoding;
use crate::media;

/// The encoding of the body, or why it is none we know.
pub(super) fn encoding(headers: &HeaderMap) -> Result<Encoding, Fault> {
    let refuse = |message: &str| {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Err(Fault::new(status, Code::InvalidArgument, message, "content_type"))
    };
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return refuse("send one Content-Type: application/x-protobuf or application/json");
    };
    if let Some(encoding) = media::encoding(value) {
        return Ok(encoding);
    }
    let essence = media::essence(value).unwrap_or_default();
    if essence.starts_with("application/grpc") {
        return refuse("this is OTLP/HTTP: send gRPC to the OTLP/gRPC port (4317)");
    }
    if essence == "application/protobuf" || essence.starts_with(media::PROTOBUF) {
        return refuse(
            "write the Content-Type as application/x-protobuf, and compression as Content-Encoding",
        );
    }
    refuse("the Content-Type is neither application/x-protobuf nor application/json")
}

/// The coding of the body; None is identity.
pub(super) fn compression(headers: &HeaderMap) -> Result<Option<Compression>, Fault> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let known = match (values.next(), values.next()) {
        (None, _) => Some(None),
        (Some(value), None) => {
            value.to_str().ok().and_then(|name| Compression::from_name(name.trim()))
        }
        (Some(_), Some(_)) => None,
    };
    known.ok_or_else(|| {
        let message = format!(
            "the Content-Encoding is not one of {}; send one of them, or none",
            Compression::NAMES
        );
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Fault::new(status, Code::InvalidArgument, message, "content_encoding")
            .with("accept-encoding", Compression::NAMES)
    })
}

/// The length the sender declares; hyper has checked that it is a number.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: header::HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    /// Scenario: content types right, nearly right, double and absent.
    /// Guarantees: H10, with a hint for those who meant another port or name.
    #[test]
    fn otlp_h10_content_types_are_told_apart() {
        let of = |values: &[&'static str]| {
            encoding(&headers(header::CONTENT_TYPE, values)).map_err(|fault| fault.message)
        };
        assert_eq!(of(&["Application/JSON; charset=UTF-8"]), Ok(Encoding::Json));
        assert_eq!(of(&["application/x-protobuf"]), Ok(Encoding::Protobuf));
        assert!(of(&["application/grpc"]).unwrap_err().contains("4317"));
        assert!(of(&["application/protobuf"]).unwrap_err().contains("application/x-protobuf"));
        assert!(of(&["application/x-protobuf-gzip"]).unwrap_err().contains("Content-Encoding"));
        for none in [&[][..], &["text/plain"], &[""], &["application/json", "application/json"]] {
            assert!(of(none).is_err(), "{none:?}");
        }
    }

    /// Scenario: codings known, aliased, unknown and stacked.
    /// Guarantees: H11.
    #[test]
    fn otlp_h11_codings_are_told_apart() {
        let of = |values: &[&'static str]| {
            compression(&headers(header::CONTENT_ENCODING, values)).map_err(|fault| fault.status)
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["identity"]), Ok(None));
        assert_eq!(of(&["GZIP"]), Ok(Some(Compression::Gzip)));
        assert_eq!(of(&["x-gzip"]), Ok(Some(Compression::Gzip)));
        assert_eq!(of(&["zstd"]), Ok(Some(Compression::Zstd)));
        assert_eq!(of(&["deflate"]), Ok(Some(Compression::Deflate)));
        for other in [
            &["snappy"][..],
            &["x-snappy-framed"],
            &["lz4"],
            &["br"],
            &["gzip, gzip"],
            &["gzip", "gzip"],
        ] {
            assert_eq!(of(other), Err(StatusCode::UNSUPPORTED_MEDIA_TYPE), "{other:?}");
        }
    }
}
