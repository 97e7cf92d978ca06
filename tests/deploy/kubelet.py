"""Does of a rendered pod what a kubelet does, as far as the program can see: files of ConfigMaps, variables, labels by the downward API, arguments.

No container, no user, no network policy: a process of this machine, whose folders lie elsewhere and which is told so by a setting.
"""

import os
import pathlib
import re
import signal
import subprocess
import uuid

from shipped import container, pod_spec


class Job:
    """A Job that a CronJob made, with the labels that its pods get."""

    def __init__(self, objects, cron_job, name, folder, secret):
        self.pod, self.run = pod_spec(objects, cron_job), container(objects, cron_job)
        self.maps = {manifest["metadata"]["name"]: manifest["data"] for manifest in objects if manifest["kind"] == "ConfigMap"}
        self.labels = {"batch.kubernetes.io/job-name": name, "batch.kubernetes.io/controller-uid": str(uuid.uuid4())}
        self.folder, self.secret = folder, secret
        self.pods = 0

    def start(self, index=None, **further):
        """Starts a pod, and does not wait for it."""
        self.pods += 1
        root = self.folder / f"{self.labels['batch.kubernetes.io/job-name']}-{self.pods}"
        places = {mount["mountPath"]: self._volume(mount["name"], root) for mount in self.run["volumeMounts"]}
        variables = self._variables() | ({"JOB_COMPLETION_INDEX": str(index)} if index is not None else {}) | further
        # `/spool` stands in a settings file, and here it is another folder.
        variables["BATCH_INFER_SPOOL_PATH"] = str(places["/spool"])
        variables["PATH"] = os.pathsep.join([str(self._path(root)), os.environ["PATH"]])
        command = self.run.get("command", ["batch-infer"])
        words = [self._expanded(word, variables) for word in [*command, *self.run["args"]]]
        for mounted, place in places.items():
            words = [word.replace(f"{mounted}/", f"{place}/") for word in words]
        with open(root / "log", "wb") as log:
            process = subprocess.Popen(words, env=variables, cwd=root, stdout=log, stderr=log)
        process.log = root / "log"
        return process

    def _volume(self, name, root):
        (volume,) = [volume for volume in self.pod["volumes"] if volume["name"] == name]
        place = root / name
        place.mkdir(parents=True)
        if "configMap" in volume:
            for file, text in self.maps[volume["configMap"]["name"]].items():
                (place / file).write_text(text)
        return place

    def _path(self, root):
        programs = root / "bin"
        programs.mkdir()
        (programs / "batch-infer").symlink_to(os.environ["BATCH_INFER_BIN"])
        return programs

    def _variables(self):
        found = {}
        for source in self.run.get("envFrom", []):
            found |= self.maps[source["configMapRef"]["name"]] if "configMapRef" in source else self.secret
        for entry in self.run["env"]:
            if "value" in entry:
                found[entry["name"]] = entry["value"]
            else:
                path = entry["valueFrom"]["fieldRef"]["fieldPath"]
                found[entry["name"]] = self.labels[re.fullmatch(r"metadata\.labels\['(.*)'\]", path)[1]]
        return found

    @staticmethod
    def _expanded(word, variables):
        """`$(NAME)` becomes the variable's value if there is one, `$$` a dollar."""
        known = lambda found: "$" if found[0] == "$$" else variables.get(found[1], found[0])
        return re.sub(r"\$\$|\$\(([^)]*)\)", known, word)


def ended(process, seconds=300):
    """The exit code as Kubernetes shows it, and the log."""
    code = process.wait(timeout=seconds)
    return (128 - code if code < 0 else code), pathlib.Path(process.log).read_text()


def killed_for_memory(process):
    """What the kernel does when the limit is reached."""
    process.send_signal(signal.SIGKILL)
