//! What relative gradients avoid: the Jacobian of each sample itself, by D forward-mode columns,
//! and the gradient of its log-determinant through them. O(L D^3) a sample.

use relgrad::measure::{invert, update};
use relgrad::{Layout, Level};

/// Smooth leaky ReLU, its slope and the slope's slope.
fn activation(a: f32, y: f32) -> [f32; 3] {
    let e = (-y.abs()).exp();
    let sigmoid = if y >= 0.0 { 1.0 / (1.0 + e) } else { e / (1.0 + e) };
    let softplus = y.max(0.0) + e.ln_1p();
    [a * y + (1.0 - a) * softplus, a + (1.0 - a) * sigmoid, (1.0 - a) * sigmoid * (1.0 - sigmoid)]
}

/// Memory for one network; nothing is allocated for each sample but by the inversion.
pub struct Jacobian {
    a: f32,
    layout: Layout,
    dim: usize,
    layers: usize,
    /// Of each layer, with the data and the identity before the first: z, and dz/dx.
    z: Vec<f32>,
    tangents: Vec<f32>,
    /// Of each layer: slopes and their slopes, and `W_k dz_{k-1}/dx`.
    slopes: Vec<[f32; 2]>,
    products: Vec<f32>,
    adjoint: Vec<f32>,
    scratch: Vec<f32>,
    ones: Vec<f32>,
}

impl Jacobian {
    pub fn new(a: f32, layout: Layout, dim: usize, layers: usize) -> Self {
        let square = dim * dim;
        Jacobian {
            a,
            layout,
            dim,
            layers,
            z: vec![0.0; (layers + 1) * dim],
            tangents: vec![0.0; (layers + 1) * square],
            slopes: vec![[0.0; 2]; layers * dim],
            products: vec![0.0; layers * square],
            adjoint: vec![0.0; square],
            scratch: vec![0.0; square],
            ones: vec![1.0; dim],
        }
    }

    /// The gradient of the mean log-likelihood under a normal base; the last layer is affine.
    pub fn gradient(&mut self, params: &[f32], x: &[f32], out: &mut [f32]) {
        out.fill(0.0);
        for sample in x.chunks_exact(self.dim) {
            self.forward(params, sample);
            self.backward(params, out);
        }
        let rows = (x.len() / self.dim) as f32;
        out.iter_mut().for_each(|g| *g /= rows);
    }

    fn forward(&mut self, params: &[f32], x: &[f32]) {
        let (d, square) = (self.dim, self.dim * self.dim);
        self.z[..d].copy_from_slice(x);
        self.tangents[..square].fill(0.0);
        self.tangents[..square].iter_mut().step_by(d + 1).for_each(|t| *t = 1.0);
        for k in 0..self.layers {
            let (w, b) = (&params[self.layout.weight(k)], &params[self.layout.bias(k)]);
            let product = &mut self.products[k * square..][..square];
            let (before, after) = self.tangents.split_at_mut((k + 1) * square);
            multiply(d, w, &before[k * square..], product);
            for i in 0..d {
                let y = b[i] + dot(&w[i * d..][..d], &self.z[k * d..][..d]);
                let last = k + 1 == self.layers;
                let [z, slope, bend] = if last { [y, 1.0, 0.0] } else { activation(self.a, y) };
                self.z[(k + 1) * d + i] = z;
                self.slopes[k * d + i] = [slope, bend];
                let row = &product[i * d..][..d];
                let to = &mut after[i * d..][..d];
                to.iter_mut().zip(row).for_each(|(t, p)| *t = slope * p);
            }
        }
    }

    fn backward(&mut self, params: &[f32], out: &mut [f32]) {
        let (d, square, top) = (self.dim, self.dim * self.dim, self.layers);
        // d log|det J| / dJ = J^-T, and d log p / dz = -z.
        self.scratch.copy_from_slice(&self.tangents[top * square..]);
        invert(Level::Auto, d, &mut self.scratch, &mut self.adjoint).expect("an invertible J");
        transpose(d, &mut self.adjoint);
        let mut dz: Vec<f32> = self.z[top * d..].iter().map(|z| -z).collect();
        for k in (0..top).rev() {
            let weight = self.layout.weight(k);
            let (w, product) = (&params[weight.clone()], &self.products[k * square..][..square]);
            let mut dy = vec![0.0; d];
            for i in 0..d {
                let [slope, bend] = self.slopes[k * d + i];
                let row = &mut self.adjoint[i * d..][..d];
                dy[i] = slope * dz[i] + bend * dot(row, &product[i * d..][..d]);
                row.iter_mut().for_each(|a| *a *= slope);
            }
            // Through the tangents: dW += A T^T; through the values: dW += dy z^T.
            let before = &mut self.tangents[k * square..][..square];
            transpose(d, before);
            multiply(d, &self.adjoint, before, &mut self.scratch);
            let z = &self.z[k * d..][..d];
            for i in 0..d {
                let row = &self.scratch[i * d..][..d];
                let to = &mut out[weight.clone()][i * d..][..d];
                to.iter_mut().zip(row).zip(z).for_each(|((g, s), z)| *g += s + dy[i] * z);
            }
            out[self.layout.bias(k)].iter_mut().zip(&dy).for_each(|(g, dy)| *g += dy);
            // The adjoints one layer down: W^T A and W^T dy.
            self.scratch.fill(0.0);
            update(Level::Auto, d, w, &self.adjoint, &self.ones, &mut self.scratch);
            self.adjoint.copy_from_slice(&self.scratch);
            dz.fill(0.0);
            for (row, dy) in w.chunks_exact(d).zip(&dy) {
                dz.iter_mut().zip(row).for_each(|(z, w)| *z += w * dy);
            }
        }
    }
}

/// `out = A B`, all square.
fn multiply(d: usize, a: &[f32], b: &[f32], out: &mut [f32]) {
    relgrad::measure::multiply(Level::Auto, d, d, a, &b[..d * d], out);
}

fn transpose(d: usize, a: &mut [f32]) {
    for i in 0..d {
        for j in 0..i {
            a.swap(i * d + j, j * d + i);
        }
    }
}

fn dot(x: &[f32], y: &[f32]) -> f32 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}
