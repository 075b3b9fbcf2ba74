"""Checks an ONNX model and runs it: run.py MODEL INPUT N C H W.

INPUT holds N*C*H*W float32 numbers, row-major. Prints the logits as a JSON list of N lists.
"""

import json
import sys

import numpy
import onnx
import onnxruntime

path, data, *shape = sys.argv[1:]
onnx.checker.check_model(path, full_check=True)
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
x = numpy.fromfile(data, dtype="<f4").reshape([int(d) for d in shape])
(logits,) = session.run(["logits"], {"input": x})
json.dump(logits.astype(float).tolist(), sys.stdout)
