pytest_plugins = ["tests.fixtures.control_plane", "tests.fixtures.workflowruns"]
