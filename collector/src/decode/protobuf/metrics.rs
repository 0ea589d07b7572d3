//! `opentelemetry.proto.metrics.v1`.

use super::super::Error;
use super::super::model::{
    Buckets, Exemplar, Exponential, Histogram, Id, Kind, Metric, Number, Point, Quantile, Summary,
};
use super::super::outcome::Notes;
use super::super::wire::{Chunk, Field};
use super::attributes::key_value;
use super::{at, at_index};

/// Reads what a metric says once; its points stay in the chunks of its `data`,
/// for [`points`]. Past `limit` bytes its texts are passed over.
pub(in super::super) fn metric<'a>(
    mut fields: Chunk<'a>,
    data: &mut Vec<Chunk<'a>>,
    notes: &mut Notes<'a>,
    limit: usize,
) -> Result<(Metric<'a>, usize), Error> {
    let mut metric = Metric::default();
    let mut size = 0;
    while let Some((tag, field)) = fields.next()? {
        let kind = match tag {
            1 | 2 | 3 | 12 => {
                let chunk = field.chunk()?;
                size += chunk.bytes.len();
                if size <= limit {
                    head(tag, field, &mut metric, notes)?;
                }
                continue;
            }
            5 => Kind::Gauge,
            7 => Kind::Sum,
            9 => Kind::Histogram,
            10 => Kind::ExponentialHistogram,
            11 => Kind::Summary,
            _ => continue,
        };
        // A oneof: data of another kind replaces, of the same kind joins.
        if metric.kind.replace(kind) != Some(kind) {
            data.clear();
            metric.temporality = 0;
            metric.is_monotonic = false;
        }
        data.push(field.chunk()?);
    }
    for chunk in data {
        at("data", data_head(*chunk, &mut metric))?;
    }
    Ok((metric, size))
}

fn head<'a>(
    tag: u32,
    field: Field<'a>,
    metric: &mut Metric<'a>,
    notes: &mut Notes<'a>,
) -> Result<(), Error> {
    match tag {
        1 => metric.name = at("name", field.text(notes))?,
        2 => metric.description = at("description", field.text(notes))?,
        3 => metric.unit = at("unit", field.text(notes))?,
        _ => at("metadata", key_value(field.chunk()?, &mut metric.metadata, notes))?,
    }
    Ok(())
}

fn data_head(mut fields: Chunk<'_>, metric: &mut Metric<'_>) -> Result<(), Error> {
    let has_temporality = !matches!(metric.kind, Some(Kind::Gauge | Kind::Summary) | None);
    while let Some((tag, field)) = fields.next()? {
        match tag {
            2 if has_temporality => metric.temporality = field.int32()?,
            3 if metric.kind == Some(Kind::Sum) => metric.is_monotonic = field.boolean()?,
            _ => {}
        }
    }
    Ok(())
}

/// Calls `item` for each point of a metric.
pub(in super::super) fn points<'a>(
    data: &[Chunk<'a>],
    mut item: impl FnMut(Chunk<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut index = 0;
    for chunk in data {
        let mut fields = *chunk;
        while let Some((tag, field)) = fields.next()? {
            if tag == 1 {
                at_index("data_points", index, item(field.chunk()?))?;
                index += 1;
            }
        }
    }
    Ok(())
}

/// Reads a point into one that was reset.
pub(in super::super) fn point<'a>(
    kind: Kind,
    mut fields: Chunk<'a>,
    into: &mut Point<'a>,
    notes: &mut Notes<'a>,
) -> Result<(), Error> {
    // The five messages agree on times; what else they share has other numbers.
    let (attributes, exemplars, flags) = match kind {
        Kind::Gauge | Kind::Sum => (7, 5, 8),
        Kind::Histogram => (9, 8, 10),
        Kind::ExponentialHistogram => (1, 11, 10),
        Kind::Summary => (7, 0, 8),
    };
    while let Some((tag, field)) = fields.next()? {
        if tag == 2 {
            into.start_time_unix_nano = field.fixed64()?;
        } else if tag == 3 {
            into.time_unix_nano = field.fixed64()?;
        } else if tag == attributes {
            key_value(field.chunk()?, &mut into.attributes, notes)?;
        } else if tag == exemplars {
            into.exemplars.push(at("exemplars", exemplar(field.chunk()?, notes))?);
        } else if tag == flags {
            into.flags = field.uint32()?;
        } else {
            match kind {
                Kind::Gauge | Kind::Sum => number_field(tag, field, &mut into.number)?,
                Kind::Histogram => histogram_field(tag, field, &mut into.histogram)?,
                Kind::ExponentialHistogram => {
                    exponential_field(tag, field, &mut into.exponential)?;
                }
                Kind::Summary => summary_field(tag, field, &mut into.summary)?,
            }
        }
    }
    Ok(())
}

fn number_field(tag: u32, field: Field<'_>, into: &mut Option<Number>) -> Result<(), Error> {
    match tag {
        4 => *into = Some(Number::Double(field.double()?)),
        6 => *into = Some(Number::Int(field.fixed64()? as i64)),
        _ => {}
    }
    Ok(())
}

fn histogram_field<'a>(tag: u32, field: Field<'a>, into: &mut Histogram<'a>) -> Result<(), Error> {
    match tag {
        4 => into.count = field.fixed64()?,
        5 => into.sum = Some(field.double()?),
        6 => field.fixed64s(&mut into.bucket_counts)?,
        7 => field.fixed64s(&mut into.explicit_bounds)?,
        11 => into.min = Some(field.double()?),
        12 => into.max = Some(field.double()?),
        _ => {}
    }
    Ok(())
}

fn exponential_field(tag: u32, field: Field<'_>, into: &mut Exponential) -> Result<(), Error> {
    match tag {
        4 => into.count = field.fixed64()?,
        5 => into.sum = Some(field.double()?),
        6 => into.scale = field.sint32()?,
        7 => into.zero_count = field.fixed64()?,
        8 => buckets(field.chunk()?, &mut into.positive)?,
        9 => buckets(field.chunk()?, &mut into.negative)?,
        12 => into.min = Some(field.double()?),
        13 => into.max = Some(field.double()?),
        14 => into.zero_threshold = field.double()?,
        _ => {}
    }
    Ok(())
}

fn buckets(mut fields: Chunk<'_>, into: &mut Buckets) -> Result<(), Error> {
    into.given = true;
    while let Some((tag, field)) = fields.next()? {
        match tag {
            1 => into.offset = field.sint32()?,
            2 => field.varints(&mut into.counts)?,
            _ => {}
        }
    }
    Ok(())
}

fn summary_field(tag: u32, field: Field<'_>, into: &mut Summary) -> Result<(), Error> {
    match tag {
        4 => into.count = field.fixed64()?,
        5 => into.sum = field.double()?,
        6 => {
            let mut quantile = Quantile::default();
            let mut fields = field.chunk()?;
            while let Some((tag, field)) = fields.next()? {
                match tag {
                    1 => quantile.quantile = field.double()?,
                    2 => quantile.value = field.double()?,
                    _ => {}
                }
            }
            into.quantiles.push(quantile);
        }
        _ => {}
    }
    Ok(())
}

fn exemplar<'a>(mut fields: Chunk<'a>, notes: &mut Notes<'a>) -> Result<Exemplar<'a>, Error> {
    let mut exemplar = Exemplar::default();
    while let Some((tag, field)) = fields.next()? {
        match tag {
            2 => exemplar.time_unix_nano = field.fixed64()?,
            3 | 6 => number_field(if tag == 3 { 4 } else { 6 }, field, &mut exemplar.value)?,
            4 => exemplar.span_id = Id::from_bytes(field.chunk()?.bytes),
            5 => exemplar.trace_id = Id::from_bytes(field.chunk()?.bytes),
            7 => key_value(field.chunk()?, &mut exemplar.filtered_attributes, notes)?,
            _ => {}
        }
    }
    Ok(exemplar)
}
