import java.util.Properties;
import org.apache.kafka.clients.admin.AdminClient;

/** Makes a client with the settings on standard input: its login is made then, before anybody is connected to. */
class KafkaLogin {
    public static void main(String[] arguments) throws Exception {
        Properties settings = new Properties();
        settings.load(System.in);
        AdminClient.create(settings).close();
        System.out.println("a client");
    }
}
