"""The contestants of ``benchmarks/embed.py``: a process holds one or more of them and is told which to run on what.

    python benchmarks/embed_contestants.py CORES NAME...

Each line on stdin is a request as JSON ({"name": …, "folder": …, "encoder": …, "share": k} – every k-th file), each
line on stdout its answer: {"images": n, "seconds": s}, with "rss_mb" where workers were asked for their peak.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imgsearch.encoders.encoder import Encoder, resolve
from imgsearch.encoders.graphs import graph_of
from imgsearch.images.decode import DecodeLimits

Run = Callable[[Path, str, int], dict[str, float]]
CHUNK = 8  # files that a process of the bare loop takes at a time


def files(folder: Path, share: int) -> list[str]:
    """Every ``share``-th file of a mix, in order."""
    return sorted(str(p) for p in folder.iterdir() if not p.name.startswith("."))[::share]


# --- this UDF in Spark -------------------------------------------------------------------------------------------


def spark_udf(cores: int) -> Run:
    """``imgsearch.encoders.embed.embed`` over a frame of paths, into a sink that keeps nothing.

    Spark ends Python workers that had nothing to do for a minute, so a few files go before each timed run.
    """
    from pyspark.sql import functions as F

    from imgsearch.encoders.slices import TASK_IMAGES
    from imgsearch.encoders.udf import broadcast_graph, embed
    from imgsearch.lake.session import build_session, n_tasks

    spark = build_session("benchmark", spark__master=f"local[{cores}]", spark__driver__memory="1g")
    graphs: dict[str, Any] = {}

    def embed_to_nowhere(paths: list[str], encoder: Encoder, graph: Any) -> None:
        frame = spark.createDataFrame(pd.DataFrame({"path": paths})).withColumn("content", F.lit(None).cast("binary"))
        done = embed(frame.repartition(n_tasks(spark, len(paths), TASK_IMAGES)), encoder, graph)
        done.write.format("noop").mode("overwrite").save()

    def run(folder: Path, name: str, share: int) -> dict[str, float]:
        encoder = resolve(name)
        if name not in graphs:
            graphs[name] = broadcast_graph(spark, encoder)
        paths = files(folder, share)
        embed_to_nowhere(paths[:: max(1, len(paths) // (cores * 4))], encoder, graphs[name])  # workers may have gone
        started = time.perf_counter()
        embed_to_nowhere(paths, encoder, graphs[name])
        seconds = time.perf_counter() - started
        peaks = spark.range(cores * 4, numPartitions=cores * 4).mapInPandas(_peak, "rss double").toPandas()
        return {"images": len(paths), "seconds": seconds, "rss_mb": float(peaks["rss"].max())}

    return run


def _peak(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """The peak resident memory of the Python worker that this runs in, MB."""
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    for frame in frames:
        yield pd.DataFrame({"rss": [peak / 1000] * len(frame)})


# --- the ceiling -------------------------------------------------------------------------------------------------


def bare_processes(cores: int) -> Run:
    """One process a core, one thread each, the same decode, runtime and columns; files handed out eight at a time."""
    context = multiprocessing.get_context("spawn")
    pools: dict[str, Any] = {}

    def run(folder: Path, name: str, share: int) -> dict[str, float]:
        if name not in pools:
            encoder = resolve(name)
            for pool in pools.values():
                pool.terminate()
            pools.clear()
            pools[name] = context.Pool(cores, _start_process, (encoder, graph_of(encoder)))
        paths = files(folder, share)
        chunks = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]
        started = time.perf_counter()
        done = sum(pools[name].imap_unordered(_embed_chunk, chunks))
        return {"images": done, "seconds": time.perf_counter() - started}

    return run


_held: dict[str, Any] = {}


def _start_process(encoder: Encoder, graph: bytes) -> None:
    from threadpoolctl import threadpool_limits

    from imgsearch.encoders.runtime import load_runtime

    threadpool_limits(1)  # as Spark's OMP_NUM_THREADS does for its workers; BLAS takes every core for a dot product
    _held.update(encoder=encoder, runtime=load_runtime(graph, encoder, 1))


def _embed_chunk(paths: list[str]) -> int:
    from imgsearch.encoders.udf import embed_batch

    encoder = _held["encoder"]
    nothing = pd.Series([None] * len(paths))
    frame = embed_batch(pd.Series(paths), nothing, _held["runtime"], encoder, DecodeLimits(), 1)
    return int(frame["reason"].isna().sum())


# --- torch DataLoader --------------------------------------------------------------------------------------------


def dataloader(precision: str) -> Callable[[int], Run]:
    """The usual loop: four workers, batches of 32, channels_last, inference mode; bf16 by autocast."""

    def start(cores: int) -> Run:
        import torch
        from torch.utils.data import DataLoader, Dataset

        torch.set_num_threads(cores)
        loaders: dict[tuple[str, int], Any] = {}
        networks: dict[str, Any] = {}

        class Files(Dataset):  # type: ignore[type-arg]
            def __init__(self, paths: list[str], transform: Any) -> None:
                self.paths, self.transform = paths, transform

            def __len__(self) -> int:
                return len(self.paths)

            def __getitem__(self, i: int) -> Any:
                from PIL import Image

                return self.transform(Image.open(self.paths[i]).convert("RGB"))

        def run(folder: Path, name: str, share: int) -> dict[str, float]:
            encoder = resolve(name)
            if name not in networks:
                networks[name] = torch_network(encoder).to(memory_format=torch.channels_last)
            key = (str(folder), share)
            if key not in loaders:
                loaders.clear()
                dataset = Files(files(folder, share), torch_transform(encoder))
                loaders[key] = DataLoader(dataset, batch_size=32, num_workers=4, persistent_workers=True)
            rows = []
            started = time.perf_counter()
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                for batch in loaders[key]:
                    given = networks[name](batch.to(memory_format=torch.channels_last))
                    rows.append(torch.nn.functional.normalize(given.float().flatten(1)).numpy())
            seconds = time.perf_counter() - started
            return {"images": len(np.concatenate(rows)), "seconds": seconds}

        return run

    return start


def torch_network(encoder: Encoder) -> Any:
    """The encoder's network as torch people use it: normalised planes in, (n, dim) out."""
    from imgsearch.encoders.networks import embedding_network

    return embedding_network(encoder.backbone, encoder.preprocessing, encoder.pooling).body


def torch_transform(encoder: Encoder) -> Any:
    from torchvision import transforms

    given = encoder.preprocessing
    bicubic = transforms.InterpolationMode.BICUBIC
    bilinear = transforms.InterpolationMode.BILINEAR
    filter = bicubic if given.resample == "bicubic" else bilinear
    if given.fit == "crop":
        sizing = [transforms.Resize(given.resize_to, filter), transforms.CenterCrop((given.height, given.width))]
    else:
        sizing = [transforms.Resize((given.height, given.width), filter)]
    return transforms.Compose([*sizing, transforms.ToTensor(), transforms.Normalize(given.mean, given.std)])


# --- the naive scalar pandas UDF ---------------------------------------------------------------------------------


def naive_udf(cores: int) -> Run:
    """A row at a time: PIL, torchvision's transform, torch in float32, a Python list back to Spark.

    Kinder than many tutorials: the network is broadcast and stays in the worker, it is not loaded again per batch.
    """
    from pyspark.sql import functions as F

    from imgsearch.lake.session import build_session

    spark = build_session("naive", spark__master=f"local[{cores}]", spark__driver__memory="1g")
    networks: dict[str, Any] = {}

    def run(folder: Path, name: str, share: int) -> dict[str, float]:
        encoder = resolve(name)
        if name not in networks:
            networks[name] = spark.sparkContext.broadcast(encoder)
        udf = _naive(networks[name])
        paths = files(folder, share)

        def featurized(some: list[str]) -> None:
            frame = spark.createDataFrame(pd.DataFrame({"path": some})).repartition(cores * 2)
            frame.select("path", udf(F.col("path")).alias("features")).write.format("noop").mode("overwrite").save()

        featurized(paths[: cores * 4])
        started = time.perf_counter()
        featurized(paths)
        return {"images": len(paths), "seconds": time.perf_counter() - started}

    return run


def _naive(encoder: Any) -> Any:
    from pyspark.sql import functions as F

    def featurize(paths: pd.Series) -> pd.Series:
        import torch
        from PIL import Image

        from imgsearch.lake.worker import keep

        network, transform = keep("naive", lambda: (torch_network(encoder.value), torch_transform(encoder.value)))

        def one(path: str) -> list[float]:
            with torch.no_grad():
                return network(transform(Image.open(path).convert("RGB")).unsqueeze(0)).flatten().tolist()

        return paths.apply(one)

    return F.pandas_udf("array<float>")(featurize)  # type: ignore[call-overload]


# --- imagededup --------------------------------------------------------------------------------------------------


def imagededup(cores: int) -> Run:
    """``imagededup.methods.CNN().encode_images``: MobileNetV3-small, as many loading processes as cores.

    Its network gets the weights of our encoder's file (its own loader would download ImageNet's: same speed).
    """
    import logging

    import torch
    from imagededup.methods import CNN
    from imagededup.utils.models import CustomModel, MobilenetV3
    from torchvision import models

    torch.set_num_threads(cores)
    logging.disable(logging.WARNING)

    def run(folder: Path, name: str, share: int) -> dict[str, float]:
        if share != 1:
            raise ValueError("encode_images takes a whole folder")
        published = models.mobilenet_v3_small
        network = published(weights=None)
        network.load_state_dict(torch.load(name, weights_only=True))
        models.mobilenet_v3_small = lambda **_: network
        cnn = CNN(verbose=False, model_config=CustomModel("mnv3", MobilenetV3(), MobilenetV3.transform))
        models.mobilenet_v3_small = published
        started = time.perf_counter()
        encoded = cnn.encode_images(image_dir=str(folder), num_enc_workers=cores)
        return {"images": len(encoded), "seconds": time.perf_counter() - started}

    return run


CONTESTANTS: dict[str, Callable[[int], Run]] = {
    "this UDF in Spark": spark_udf,
    "bare processes": bare_processes,
    "DataLoader float32": dataloader("float32"),
    "DataLoader bf16": dataloader("bf16"),
    "naive scalar UDF": naive_udf,
    "imagededup": imagededup,
}


def main(cores: int, names: list[str]) -> None:
    answers = os.fdopen(os.dup(1), "w")  # libraries print to stdout too
    os.dup2(2, 1)
    runs = {name: CONTESTANTS[name](cores) for name in names}
    print(json.dumps({"ready": names}), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        answer = runs[asked["name"]](Path(asked["folder"]), asked["encoder"], asked["share"])
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
