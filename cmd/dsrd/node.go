package main

import (
	"context"
	"errors"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/dsrlab/dsrlab/dataplane/agent"
	"github.com/dsrlab/dsrlab/dataplane/kube"
)

// runNode runs until ctx ends. The data path stays.
func runNode(ctx context.Context, f flags) (err error) {
	config, err := kube.ReadConfig(f.config)
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx)) // while it drains, too
	defer stop()
	client, err := f.client()
	if err != nil {
		return err
	}
	events, err := f.events(watching, client)
	if err != nil {
		return err
	}
	node, err := kube.New(kube.Options{Node: f.Node, Config: config, Events: events, PinDir: f.PinDir, Client: client, Log: f.Log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	if f.Metrics != "" {
		f.Collectors = node.Collectors()
		stop, err := agent.Serve(ctx, f.Options, node.Healthy)
		if err != nil {
			return err
		}
		defer stop()
	}
	return node.Run(ctx)
}

// events come from the API server, or from a file.
func (f flags) events(ctx context.Context, client kubernetes.Interface) (<-chan kube.Event, error) {
	if client == nil {
		return kube.Follow(ctx, f.objects, f.Log)
	}
	return kube.Watch(ctx, client)
}

// client is that of the API server; nil where objects come from a file.
func (f flags) client() (kubernetes.Interface, error) {
	if f.objects != "" {
		return nil, nil
	}
	var config *rest.Config
	var err error
	if f.kubeconfig != "" {
		config, err = clientcmd.BuildConfigFromFlags("", f.kubeconfig)
	} else {
		config, err = rest.InClusterConfig()
	}
	if err != nil {
		return nil, err
	}
	if f.server != "" {
		config.Host = f.server
	}
	config.Wrap(kube.LogReach(f.Log))
	return kubernetes.NewForConfig(config)
}
