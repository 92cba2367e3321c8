"""Training on many devices: one `Mesh` says how they share a model, torch's own engines do the work.

``train(model, text, mesh=Mesh(data=2, tensor=2), ...)`` in a script that torchrun starts, or
`train_on_mesh` from anywhere. What a mesh costs is counted in `scaling_transformers.accounting`.
"""

from scaling_transformers.accounting.mesh import Mesh, all_meshes, require_mesh
from scaling_transformers.parallelism.launch import MeshRun, ProcessFailed, train_on_mesh

__all__ = ["Mesh", "MeshRun", "ProcessFailed", "all_meshes", "require_mesh", "train_on_mesh"]
