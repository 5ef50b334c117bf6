// Runs files in a WebAssembly runtime under Node.js; the same arguments and results as worker.py.
//
//     node worker.mjs BACKEND JOBS.json RESULTS.jsonl FOLDER    (FOLDER holds node_modules)

import fs from "node:fs";
import path from "node:path";
import vm from "node:vm";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const REPEATS = 5; // runs in one measurement
const WARM_UP = 100; // rounds
const LONGEST = 4000; // milliseconds after which no further round begins
const LEAST = 5; // rounds
const ARRAYS = { int8: Int8Array, uint8: Uint8Array, float32: Float32Array };
const [backend, jobsPath, resultsPath, folder] = process.argv.slice(2);
const packageFolder = path.join(folder, "node_modules", backend);

// The WebAssembly build of TensorFlow Lite inside @tensorflow/tfjs-tflite, without TensorFlow.js around it.
async function tfjsTflite() {
  const name = path.join(packageFolder, "wasm", "tflite_web_api_cc_simd");
  const factory = createRequire(import.meta.url)(`${name}.js`);
  const said = [];
  const settings = { wasmBinary: fs.readFileSync(`${name}.wasm`), print: () => {}, printErr: (line) => said.push(line) };
  const module = await factory(settings);
  return (content) => {
    const start = module._malloc(content.length);
    module.HEAPU8.set(content, start);
    const options = { numThreads: 1, enableProfiling: false, maxProfilingBufferEntries: 0 };
    const status = module.TFLiteWebModelRunner.CreateFromBufferAndOptions(start, content.length, options);
    if (!status.ok()) throw new Error([...said.splice(0), status.errorMessage()].filter(Boolean).join(" "));
    const runner = status.value();
    const source = runner.GetInputs().get(0);
    const result = runner.GetOutputs().get(0);
    return {
      dtype: result.dataType,
      set: (bytes) => source.data().set(view(bytes, source.dataType)),
      run: async () => {
        if (!runner.Infer()) throw new Error("it failed to run");
      },
      output: async () => result.data().slice(),
    };
  };
}

// LiteRT.js. It loads its script as a browser does, which Node.js needs help with.
async function litertJs() {
  globalThis.self = globalThis;
  globalThis.require = createRequire(import.meta.url);
  globalThis.__dirname = path.join(packageFolder, "wasm");
  globalThis.importScripts = (name) => vm.runInThisContext(fs.readFileSync(name, "utf8"), { filename: name });
  const entry = path.join(packageFolder, "dist", "index.js");
  const { loadLiteRt, loadAndCompile, Tensor } = await import(pathToFileURL(entry).href);
  await loadLiteRt(globalThis.__dirname + path.sep);
  return async (content) => {
    const model = await loadAndCompile(content, { accelerator: "wasm" });
    const [source] = model.getInputDetails();
    const [target] = model.getOutputDetails();
    let input, results;
    return {
      dtype: target.dtype,
      set: (bytes) => (input = new Tensor(view(bytes, source.dtype), [...source.shape])),
      run: async () => {
        results?.forEach((tensor) => tensor.delete());
        results = await model.run([input]);
      },
      output: async () => results[0].toTypedArray().slice(),
    };
  };
}

function view(bytes, dtype) {
  const type = ARRAYS[dtype];
  if (!type) throw new Error(`inputs or outputs of type ${dtype} are not supported`);
  return new type(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

// Processor time relative to stock's right behind it, once a round; a busy machine does not count that way.
async function time(subject, stock, rounds) {
  const ratios = [];
  const begun = performance.now();
  while (ratios.length < rounds && (ratios.length < LEAST || performance.now() - begun < LONGEST)) {
    const taken = [];
    for (const model of [subject, stock]) {
      const start = process.cpuUsage();
      for (let run = 0; run < REPEATS; run++) await model.run();
      const { user, system } = process.cpuUsage(start);
      taken.push(user + system);
    }
    ratios.push(taken[0] / taken[1]);
  }
  return ratios;
}

async function perform(job, load, rounds) {
  const subject = await load(new Uint8Array(fs.readFileSync(job.model)));
  const inputs = new Uint8Array(fs.readFileSync(job.inputs));
  const size = inputs.length / job.samples;
  const outputs = [];
  for (let at = 0; at < inputs.length; at += size) {
    subject.set(inputs.subarray(at, at + size));
    await subject.run();
    outputs.push(Buffer.from((await subject.output()).buffer));
  }
  const found = { output: Buffer.concat(outputs).toString("hex"), dtype: subject.dtype };
  if (rounds) {
    const stock = await load(new Uint8Array(fs.readFileSync(job.stock)));
    stock.set(inputs.subarray(0, size));
    await time(subject, stock, WARM_UP); // until Node.js has compiled the code in earnest
    found.ratio = median(await time(subject, stock, rounds));
  }
  return found;
}

const say = (line) => fs.appendFileSync(resultsPath, JSON.stringify(line) + "\n");
const { version } = JSON.parse(fs.readFileSync(path.join(packageFolder, "package.json"), "utf8"));
const given = JSON.parse(fs.readFileSync(jobsPath, "utf8"));
say({ runtime: `${backend} ${version}` });
const load = await (backend === "@litertjs/core" ? litertJs() : tfjsTflite());
for (const job of given.jobs) {
  say({ begun: job.name });
  try {
    say({ done: job.name, ...(await perform(job, load, given.rounds)) });
  } catch (error) {
    const message = typeof error === "number" ? "the WebAssembly code raised an exception" : String(error);
    say({ done: job.name, refused: message });
  }
}
process.exit(0);
