// Applies Widgets through each client library for Go, against the server of KUBECONFIG, in the
// namespace of the first argument. Prints a line per library; exits with 1 at the first deviation.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if len(os.Args) != 2 {
		return errors.New("usage: clients NAMESPACE")
	}
	config, err := load()
	if err != nil {
		return err
	}
	namespace := os.Args[1]
	for _, library := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"client-go dynamic", func(ctx context.Context) error { return dynamicApply(ctx, config, namespace) }},
		{"client-go typed", func(ctx context.Context) error { return typedApply(ctx, config, namespace) }},
		{"controller-runtime", func(ctx context.Context) error { return controllerApply(ctx, config, namespace) }},
	} {
		if err := library.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", library.name, err)
		}
		fmt.Println("ok", library.name)
	}
	return nil
}
