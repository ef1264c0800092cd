#!/bin/sh
# A node's machine, in the node's network namespace and in mount and process namespaces of its own, whose first process this is: what
# it mounts and starts goes with it.
#
#	node.sh FOLDER PROGRAMS K8S
#
# FOLDER has the node's files, PROGRAMS the images and CNI plugins of all nodes, K8S is the programs of Kubernetes.
set -eu
folder=$1 programs=$2 k8s=$3

mount -t bpf bpf /sys/fs/bpf
mkdir -p "$folder/etc" "$folder/etc.work" "$folder/cni"
mount -t overlay -o "lowerdir=/etc,upperdir=$folder/etc,workdir=$folder/etc.work" overlay /etc
mkdir -p /etc/cni/net.d
[ ! -f "$folder/ptp.conflist" ] || cp "$folder/ptp.conflist" /etc/cni/net.d/10-ptp.conflist

containerd -c "$folder/containerd.toml" &
until ctr -a "$folder/containerd.sock" version >/dev/null 2>&1; do sleep 0.1; done
for image in "$programs"/*.tar; do ctr -a "$folder/containerd.sock" -n k8s.io images import "$image"; done
"$k8s" kubelet --config "$folder/kubelet.yaml" --kubeconfig "$folder/kubeconfig" --root-dir "$folder/kubelet" --cert-dir "$folder/pki" \
	--hostname-override "$(basename "$folder")" --node-ip "$(cat "$folder/addresses")" &
wait
