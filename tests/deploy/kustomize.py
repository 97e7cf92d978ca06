"""The part of kustomize that our manifests use, for machines that have neither kubectl nor kustomize. It is not kustomize: where one of them is
here, that one renders, and a test compares the two.

Known: resources, components, configMapGenerator from files and envs, nameSuffix, namespace, images by tag, and patches that merge, with a target
by kind and label. Whatever else a kustomization says is refused. Digests in names are of another kind than kustomize's.
"""

import copy
import hashlib
import json

import yaml

KNOWN = {
    "apiVersion", "kind", "resources", "components", "configMapGenerator", "generatorOptions", "nameSuffix", "namespace", "images", "patches",
}

# Lists whose items Kubernetes knows by their name; other lists are replaced whole.
BY_NAME = {"containers", "env", "volumes"}


def render(folder):
    """The objects of a kustomization, with names that refer to one another made whole."""
    objects = _accumulate(folder)
    digests = {}
    for manifest in objects:
        if manifest.pop("hashed", False):
            plain = manifest["metadata"]["name"]
            digest = hashlib.sha256(json.dumps(manifest["data"], sort_keys=True).encode()).hexdigest()[:10]
            digests[plain] = manifest["metadata"]["name"] = f"{plain}-{digest}"
    for manifest in objects:
        _refer(manifest, digests)
    return objects


def _accumulate(folder, objects=()):
    """The objects of a folder; a component also gets those to which it is applied."""
    said = yaml.safe_load((folder / "kustomization.yaml").read_text())
    unknown = set(said) - KNOWN
    assert not unknown, f"{folder}: {unknown} is not known here"
    objects = list(objects)
    for resource in said.get("resources", []):
        path = (folder / resource).resolve()
        objects += _accumulate(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))
    objects += [_config_map(folder, generator, said.get("generatorOptions", {})) for generator in said.get("configMapGenerator", [])]
    for component in said.get("components", []):
        objects = _accumulate((folder / component).resolve(), objects)
    for patch in said.get("patches", []):
        change = yaml.safe_load((folder / patch["path"]).read_text())
        # The name in a patch with a target says nothing.
        del change["metadata"]["name"]
        objects = [_merged(manifest, change) if _is_target(manifest, patch["target"]) else manifest for manifest in objects]
    for manifest in objects:
        manifest["metadata"]["name"] += said.get("nameSuffix", "")
        if "namespace" in said:
            manifest["metadata"]["namespace"] = said["namespace"]
    for image in said.get("images", []):
        assert set(image) == {"name", "newTag"}, f"{folder}: {image}"
        for manifest in objects:
            _tag(manifest, image)
    return objects


def _config_map(folder, generator, options):
    data = {}
    for file in generator.get("files", []):
        data[file] = (folder / file).read_text()
    for file in generator.get("envs", []):
        lines = (folder / file).read_text().splitlines()
        data |= dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data}
    return made | options | generator.get("options", {}) | {"hashed": True}


def _is_target(manifest, target):
    assert set(target) <= {"kind", "labelSelector"}, target
    name, _, value = target.get("labelSelector", "=").partition("=")
    return manifest["kind"] == target["kind"] and (not name or manifest["metadata"].get("labels", {}).get(name) == value)


def _merged(old, new, key=None):
    if isinstance(old, dict) and isinstance(new, dict):
        merged = {name: _merged(old.get(name), value, name) for name, value in new.items() if value is not None}
        return {name: value for name, value in old.items() if name not in new} | merged
    if isinstance(old, list) and key in BY_NAME:
        items = {item["name"]: item for item in old}
        for item in new:
            items[item["name"]] = _merged(items.get(item["name"]), item)
        return list(items.values())
    return copy.deepcopy(new)


def _tag(value, image):
    if isinstance(value, dict):
        if value.get("image") == image["name"]:
            value["image"] = f"{image['name']}:{image['newTag']}"
        value = value.values()
    if not isinstance(value, str):
        for inner in value if hasattr(value, "__iter__") else ():
            _tag(inner, image)


def _refer(value, digests):
    if isinstance(value, dict):
        for key in ("configMap", "configMapRef"):
            if key in value:
                value[key]["name"] = digests.get(value[key]["name"], value[key]["name"])
        value = value.values()
    if not isinstance(value, str):
        for inner in value if hasattr(value, "__iter__") else ():
            _refer(inner, digests)
