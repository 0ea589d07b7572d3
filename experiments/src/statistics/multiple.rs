//! Many tests at once. Both functions answer adjusted p-values in the order given.

/// Holm: the chance of even one false finding stays under the level.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let order = sorted(p);
    let mut adjusted = vec![1.0; p.len()];
    let mut least = 0.0f64;
    for (rank, index) in order.iter().enumerate() {
        least = least.max((p.len() - rank) as f64 * p[*index]).min(1.0);
        adjusted[*index] = least;
    }
    adjusted
}

/// Benjamini and Hochberg: of all findings, this share may be false.
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let order = sorted(p);
    let mut adjusted = vec![1.0; p.len()];
    let mut most = 1.0f64;
    for (rank, index) in order.iter().enumerate().rev() {
        most = most.min(p.len() as f64 / (rank + 1) as f64 * p[*index]);
        adjusted[*index] = most;
    }
    adjusted
}

fn sorted(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    order
}
